import time, resource
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from notifications import send_notification
from routing.push import deliveries
from routing.push.models import Delivery, Device
from routing.push.registration import register
from routing.push.worker import PushWorker
from datetime import timedelta
pytestmark=[pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

def rss():
    return int(open('/proc/self/statm').read().split()[1])*4
def test_bench(hub, make_user):
    import logging; logging.disable(logging.CRITICAL)
    hub(APPLICATIONS={"p":{"backend":"dummy","default":True}}, DEVICES_PER_USER=10000)
    U=get_user_model()
    us=U.objects.bulk_create([U(username=f"u{i}") for i in range(200)])
    from notifications import inbox; inbox.make_missing()
    t=time.perf_counter()
    for u in us:
        register(u, backend="dummy", token=f"ok-{u.pk}")
    print("register/s", 200/(time.perf_counter()-t))
    d0=list(Device.objects.all())
    Device.objects.bulk_create([Device(user_id=d.user_id,backend="dummy",application_id=d.application_id,token=f"ok-{d.pk}-{k}",token_hash=f"{d.pk}-{k}") for d in d0 for k in range(9)])
    w=PushWorker()
    for rnd in range(4):
        t=time.perf_counter(); 
        for _ in range(2):
            send_notification("post_comment", users=us, title="hello")
        n=Delivery.objects.unfinished().count()
        t1=time.perf_counter(); 
        while w.work(): pass
        t2=time.perf_counter()
        print(rnd, "plan/s", n/(t1-t), "work/s", n/(t2-t1), "n", n, "rss", rss())
    # claims & finishes alone
    for _ in range(4): send_notification("post_comment", users=us, title="hello")
    app=Delivery.objects.first().application_id
    t=time.perf_counter(); n=0
    while c:=deliveries.claim(app, most=100, lease=timedelta(seconds=60), using="default"):
        deliveries.finish([deliveries.Change(id=i, claim=c.id, state="SENT") for i in c.ids], using="default"); n+=len(c.ids)
    print("claim+finish/s", n/(time.perf_counter()-t))
    w.close()
