"""A backup that is restored behind the backs of connected clients."""

from tests.acceptance.hub import Hub

USERS = ("user0", "user1", "user2")


def test_after_a_restore_and_new_epoch_every_client_is_told_reset_and_equals_it(hub: Hub) -> None:
    server = hub.serve()
    clients = hub.come(*USERS, "user0")
    for name in USERS:
        hub.send(name)
    hub.send(*USERS)
    hub.database.back_up()
    before = {sent.key for sent in hub.ledger.stored()}
    for _ in range(3):
        hub.send(*USERS)
    hub.check(leave=False)
    server.stop()
    hub.gone(server)
    hub.database.restore()
    hub.run("new_epoch")
    hub.ledger.forget_after(before)
    hub.serve(port=server.port)
    # what is sent now takes the numbers that were taken once before
    hub.send("user0")
    hub.check(leave=False)
    assert all(client.resets == 1 for client in clients)
    hub.check()
