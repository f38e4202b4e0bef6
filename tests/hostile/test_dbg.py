from tests.hostile.test_requests import *
from tests.hostile.conftest import Memory
from notifications import send_notification
def test_dbg(app, server, alice):
    for i in range(200):
        send_notification("post_like", users=alice, data={str(k): k for k in range(1400)}, message="x"*4000)
    m=Memory(server.pid)
    n=0
    for r in range(40):
        a=app.get("/api/notifications/?limit=200"); n=len(a.content)
        if r%5==0: print("RSS", r, n, round(m.grown,1))
    for r in range(40):
        a=app.get("/api/notifications/changes/?since=0&epoch="+a.json().get("epoch","")); n=len(a.content)
        if r%5==0: print("RSS", r, n, round(m.grown,1))
