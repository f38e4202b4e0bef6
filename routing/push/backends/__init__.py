"""One vendor, one file: each backend takes addresses and words and answers outcomes."""
