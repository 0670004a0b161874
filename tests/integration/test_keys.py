"""Customer-managed keys over HTTP."""
from tests.integration.keys import *
from tests.integration.datasets import register_tenant
async def test_x(api, settings, database):
    c=Caller(api, await register_tenant(api))
    print(await c.attach())
    print(await c.attach(provider="AWS_KMS", key_uri="x"))
    print(await c.attach(provider="OPENBAO", key_uri="x"))
    print(await c.attach(provider="PKCS11", key_uri="x"))
    print(await c.put())
    print(await c.put({}))
    j=await c.plan("rotateKey"); print(j)
    print(await c.plan("rewrapKey"))
    async with worker(settings,database) as finish:
        print(await finish(j["job"]["id"]))
    v=(await c.of_tenant("cmk { versions { nodes { id state number recordsRemaining events { nodes { type }}}} events { nodes { type }}}")); print(v)
    d=await c.request_destruction(v["cmk"]["versions"]["nodes"][1]["id"]); print(d)
    for a in APPROVERS: print(await c.named(a).approve_destruction(d["destruction"]["id"], d["destruction"]["requestDigest"]))
    print(v["cmk"]["versions"]["nodes"][0])
    r=await c.stored()
    g=await c.granted([r]); print(g)
    print(await c.ask('mutation { openBreakGlass(id: "%s", idempotencyKey: "x") { request { state events { nodes { type } } } records { nodes { id fields { name value } } } userErrors { code message } } }'%g))
    print(await c.suspend())
    print(await c.ask('{ tenant(id: "%s") { record(id: "%s") { id fields { name value } } } }'%(c.tenant,r)))
    assert 0
