from tests.hostile.test_requests import *
from tests.hostile.conftest import Memory
def test_dbg(app, server):
    m=Memory(server.pid)
    for r in range(40):
        a=app.request("POST", "/api/notifications/mark/", content=TestHardToRead.DEEP["many enabled by id"])
        assert a.status_code==400
        if r%5==0: print("RSS", r, round(m.grown,1))
    for r in range(40):
        a=app.request("POST", "/api/auth/token/", content=TestHardToRead.DEEP["many keys"])
        assert a.status_code==400
        if r%5==0: print("RSS", r, round(m.grown,1))
