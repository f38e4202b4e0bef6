"""Serves the hub with uvicorn: HTTP and WebSocket, in one process or several."""

import socket
from typing import Any

from channels.routing import get_default_application
from django.core.management.base import BaseCommand, CommandError, CommandParser

from routing.checks import problem_with_processes
from routing.live import processes, server


class Command(BaseCommand):
    help = "Serves HTTP and WebSocket. Ctrl-C or SIGTERM ends it cleanly."
    requires_system_checks = "__all__"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
        parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0: any free one")
        parser.add_argument("--processes", type=int, default=1, help="default: 1")
        parser.add_argument(
            "--proxy-headers",
            action="store_true",
            help="believe X-Forwarded-For and -Proto of a proxy on this machine",
        )
        # how the parent of several processes hands its listening socket to them
        parser.add_argument("--child-of", nargs=2, type=int, help="(internal) parent, descriptor")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["child_of"]:
            parent, descriptor = options["child_of"]
            listener = socket.socket(fileno=descriptor)
            self._serve(listener, parent=parent, **options)
            return
        count = options["processes"]
        if count < 1:
            raise CommandError("--processes must be at least 1")
        problem = problem_with_processes(count)
        if problem is not None:
            raise CommandError(problem)
        try:
            listener = server.listening_socket(options["host"], options["port"])
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"cannot listen on {options['host']}:{options['port']}: {error}"
            ) from None
        with listener:
            if count == 1:
                self._serve(listener, parent=None, **options)
            else:
                processes.supervise(count, listener, ready=lambda: self._say(listener))

    def _serve(self, listener: socket.socket, *, parent: int | None, **options: Any) -> None:
        server.serve(
            get_default_application(),
            listener,
            ready=lambda: None if parent else self._say(listener),
            parent=parent,
            proxy_headers=options["proxy_headers"],
        )

    def _say(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self.stdout.write(f"Serving on http://{f'[{host}]' if ':' in host else host}:{port}")
        self.stdout.flush()
