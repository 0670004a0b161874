"""GraphQL over HTTP, as clients, attackers and crashes meet it."""

import asyncio
import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.queries.model import OperationResult

GRAPHQL = "application/graphql-response+json"
ECHO = {"query": "query Echo($text: String) { echo(text: $text) }", "variables": {"text": "é"}}


class Hanging:
    """Never answers; says when it runs and how it ended."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def run(self, request, context):
        self.running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class Answering:
    """Gives one fixed result."""

    def __init__(self, result: OperationResult) -> None:
        self.result = result

    async def run(self, request, context):
        return self.result


def code(response: httpx.Response) -> str:
    (error,) = response.json()["errors"]
    assert error["message"]
    assert error["extensions"]["requestId"] == response.headers["x-request-id"]
    return str(error["extensions"]["code"])


async def test_post_is_answered(site) -> None:
    response = await site.post(ECHO)
    assert (response.status_code, response.json()) == (200, {"data": {"echo": "é"}})


async def test_get_is_answered(site) -> None:
    response = await site.get(query=ECHO["query"], variables='{"text":"é"}')
    assert response.json() == {"data": {"echo": "é"}}


async def test_head_is_get_without_a_body(site) -> None:
    response = await site.client.head("/graphql", params={"query": "{ echo }"})
    assert (response.headers["content-length"], response.content) == ("22", b"")


async def test_every_answer_forbids_caching_and_sniffing(site) -> None:
    response = await site.post(ECHO)
    headers = ("cache-control", "vary", "x-content-type-options")
    expected = ["private, no-store", "Accept, Authorization", "nosniff"]
    assert [response.headers[name] for name in headers] == expected


@pytest.mark.parametrize(("given_id", "kept"), [("req-1", True), ("a" * 65, False), ("<b>", False)])
async def test_request_id_is_kept_when_it_is_harmless(site, given_id: str, *, kept: bool) -> None:
    response = await site.post(ECHO, x_request_id=given_id)
    assert (response.headers["x-request-id"] == given_id) is kept
    assert site.contexts[0].request_id == response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("query", "status"), [("{", 400), ("{ nowhere }", 400), ("{ item(id: null) }", 400)]
)
async def test_refused_document_has_its_status_and_no_data(site, query: str, status: int) -> None:
    response = await site.post({"query": query})
    assert (response.status_code, "data" in response.json()) == (status, False)


async def test_refused_document_is_200_for_legacy_clients(site) -> None:
    response = await site.post({"query": "{"}, accept="application/json")
    assert (response.status_code, response.headers["content-type"]) == (
        200,
        "application/json; charset=utf-8",
    )


@pytest.mark.parametrize("status", [401, 403, 405, 503, 504])
@pytest.mark.parametrize("accept", [GRAPHQL, "application/json"])
async def test_refusal_that_is_no_document_fault_keeps_its_status(serve, status, accept) -> None:
    refusing = Answering(OperationResult({"errors": [{"message": "no"}]}, status))
    response = await serve(refusing).post(ECHO, accept=accept)
    assert response.status_code == status


async def test_partial_answer_is_200(site) -> None:
    response = await site.post({"query": "{ echo fail }"})
    assert (response.status_code, response.json()["data"]) == (200, {"echo": None, "fail": None})


@pytest.mark.parametrize("accept", [GRAPHQL, "application/json"])
async def test_mutation_by_get_is_refused(site, accept: str) -> None:
    response = await site.get(query="mutation { change }", headers={"accept": accept})
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "BREW"])
async def test_other_methods_are_refused(site, method: str) -> None:
    response = await site.client.request(method, "/graphql")
    assert (code(response), response.headers["allow"]) == (
        "METHOD_NOT_ALLOWED",
        "GET, HEAD, POST, OPTIONS",
    )


async def test_options_lists_the_methods(site) -> None:
    response = await site.client.options("/graphql")
    assert (response.status_code, response.headers["allow"]) == (204, "GET, HEAD, POST, OPTIONS")


async def test_unacceptable_answer_is_refused(site) -> None:
    response = await site.post(ECHO, accept="image/png")
    assert (response.status_code, code(response)) == (406, "NOT_ACCEPTABLE")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_request_for_another_site_is_refused(site, method: str) -> None:
    response = await site.client.request(
        method, "/graphql", params={"query": "{ echo }"}, headers={"sec-fetch-site": "cross-site"}
    )
    assert (code(response), site.contexts) == ("CSRF_REJECTED", [])


async def test_unknown_caller_is_told_how_to_authenticate(site) -> None:
    response = await site.post(ECHO, authorization="Bearer stolen")
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")


async def test_unknown_caller_cannot_send_a_body(site, exchange) -> None:
    headers = [(b"content-type", b"application/json"), (b"authorization", b"Bearer stolen")]
    await exchange.run(site.application, headers)
    assert (exchange.status, exchange.received) == (401, 0)


async def test_unavailable_key_set_asks_to_retry(serve) -> None:
    class Unavailable:
        async def authenticate(self, headers):
            raise SubgraphError(ErrorCode.KEY_SET_UNAVAILABLE)

    response = await serve(authenticator=Unavailable()).post(ECHO)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize(
    ("body", "expected", "status"),
    [
        (b"", "MALFORMED_JSON", 400),
        (b'{"query":"{a}","query":"{b}"}', "DUPLICATE_KEY", 400),
        (b'{"query":"\xff"}', "INVALID_UTF8", 400),
        (b'{"query":"{ echo }","variables":{"x":1e999}}', "NUMBER_OUT_OF_RANGE", 400),
        (b"[" * 100_000, "NESTING_TOO_DEEP", 400),
        (b'{"query":"\\u0000"}', "BAD_USER_INPUT", 400),
        (b'"{ echo }"', "BAD_REQUEST", 400),
        (b"[]", "BATCH_TOO_LARGE", 400),
        (b"[" + b"1," * 20 + b"1]", "BATCH_TOO_LARGE", 400),
        (b" " * 1_048_577, "BODY_TOO_LARGE", 413),
    ],
)
@pytest.mark.parametrize("accept", [GRAPHQL, "application/json"])
async def test_bad_body_has_its_code(site, body, expected, status, accept) -> None:
    response = await site.post(body, accept=accept)
    assert (code(response), response.status_code) == (expected, status)


async def test_chunks_beyond_the_limit_are_refused_over_a_socket(listening) -> None:
    async def endless():
        for _ in range(100):
            yield b" " * 1024

    async with listening(max_body_bytes=4096) as url, httpx.AsyncClient() as client:
        headers = {"content-type": "application/json"}
        response = await client.post(f"{url}/graphql", content=endless(), headers=headers)
    assert code(response) == "BODY_TOO_LARGE"


async def test_stalled_body_is_given_up_and_the_connection_closed(serve, exchange) -> None:
    exchange.give(b"{", more=True)
    await exchange.run(serve(deadline_ms=10).application)
    assert (exchange.status, exchange.headers[b"connection"]) == (408, b"close")


async def test_client_that_leaves_in_the_body_gets_nothing(site, exchange) -> None:
    exchange.give(b"{", more=True)
    exchange.hang_up()
    await exchange.run(site.application)
    assert exchange.sent == []


async def test_batch_answers_in_order(site) -> None:
    texts = ["a", "b", "c"]
    response = await site.post([{**ECHO, "variables": {"text": text}} for text in texts])
    assert [entry["data"]["echo"] for entry in response.json()] == texts


async def test_bad_entry_harms_only_itself(site) -> None:
    response = await site.post([ECHO, {"query": 7}, {"query": "{"}, None, ECHO])
    assert ["data" in entry for entry in response.json()] == [True, False, False, False, True]


async def test_batch_shares_one_context_and_its_loads(site) -> None:
    await site.post([{"query": f'{{ item(id: "{key}") }}'} for key in "abc"])
    assert [context.loads for context in site.contexts] == [[["a", "b", "c"]]]


async def test_unserialisable_result_is_a_fault_of_its_own(site) -> None:
    response = await site.post([{"query": "{ huge }"}, ECHO])
    first, second = response.json()
    assert (first["errors"][0]["extensions"]["code"], "data" in second) == ("INTERNAL_ERROR", True)


async def test_deadline_ends_the_operation(serve) -> None:
    hanging = Hanging()
    response = await serve(hanging, deadline_ms=10).post(ECHO)
    assert (response.status_code, code(response)) == (504, "DEADLINE_EXCEEDED")
    assert hanging.cancelled.is_set()


async def test_overload_is_shed_before_the_body_is_read(serve, exchange) -> None:
    hanging = Hanging()
    site = serve(hanging, max_in_flight=1)
    first = asyncio.create_task(site.post(ECHO))
    await hanging.running.wait()
    await exchange.run(site.application)
    assert (exchange.status, exchange.headers[b"retry-after"], exchange.received) == (503, b"1", 0)
    first.cancel()


async def test_place_comes_back_when_the_client_leaves(serve, exchange) -> None:
    hanging = Hanging()
    site = serve(hanging, max_in_flight=1)
    exchange.give(json.dumps(ECHO).encode())
    running = asyncio.create_task(exchange.run(site.application))
    await hanging.running.wait()
    exchange.hang_up()
    await running
    hanging.running.clear()
    second = asyncio.create_task(site.post(ECHO))
    await hanging.running.wait()
    second.cancel()


async def test_slow_sender_holds_no_place(serve, exchange) -> None:
    site = serve(max_in_flight=1)
    exchange.give(b"{", more=True)
    stalled = asyncio.create_task(exchange.run(site.application))
    await exchange.reading.wait()
    assert (await site.post(ECHO)).status_code == 200
    exchange.hang_up()
    await stalled


@pytest.mark.parametrize("body", [ECHO, [ECHO, ECHO]])
async def test_leaving_client_cancels_its_operation_over_a_socket(listening, body) -> None:
    hanging = Hanging()
    encoded = json.dumps(body).encode()
    async with listening(runner=hanging) as url:
        address = httpx.URL(url)
        _, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(
            b"POST /graphql HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(encoded), encoded)
        )
        await hanging.running.wait()
        writer.close()
        await hanging.cancelled.wait()


async def test_fault_outside_of_the_operation_is_internal(serve) -> None:
    class Broken:
        async def authenticate(self, headers):
            raise RuntimeError("hunter2")

    response = await serve(authenticator=Broken()).post(ECHO)
    assert (response.status_code, code(response), "hunter2" in response.text) == (
        500,
        "INTERNAL_ERROR",
        False,
    )


async def test_refusal_is_observed_once(site) -> None:
    await site.post(b"{")
    assert (site.notes.requests, site.notes.operations) == (
        ["POST /graphql"],
        [(None, "tests", ("MALFORMED_JSON",))],
    )


async def test_method_is_no_free_text_for_span_names(site) -> None:
    await site.client.request("BREW", "/graphql")
    assert site.notes.requests == ["GET /graphql"]


FRAGMENTS = st.sampled_from(
    [
        *(b'{"query":"{ echo }"', b'"variables":', b"{", b"}", b"[", b"]", b",", b'"\\ud800"'),
        *(b'"\\u0000"', b"NaN", b"null", b"9" * 30, b'"extensions":', b'"a":1', b"\xff", b"1e999"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["query", "variables", "operationName", "extensions", "text", "id"]),
            inner,
        )
    ),
)
REQUESTS = st.fixed_dictionaries(
    {"query": st.sampled_from([ECHO["query"], "query($id: ID!) { item(id: $id) }", "{ echo }"])},
    optional={"variables": VALUES, "operationName": VALUES, "extensions": VALUES},
)
BODIES = (
    st.binary()
    | st.lists(FRAGMENTS).map(b"".join)
    | (VALUES | REQUESTS | st.lists(REQUESTS, max_size=3)).map(
        lambda value: json.dumps(value).encode()
    )
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=BODIES)
async def test_no_body_is_a_fault_of_the_service(site, body: bytes) -> None:
    response = await site.post(body)
    assert response.status_code in (200, 400)
    assert b"INTERNAL_ERROR" not in response.content


HEADER_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS"]),
    query_string=st.binary(max_size=40),
    headers=st.dictionaries(
        st.sampled_from(
            ["accept", "content-type", "content-encoding", "content-length", "x-request-id"]
        ),
        HEADER_TEXT,
    ),
)
async def test_no_header_is_a_fault_of_the_service(site, method, query_string, headers) -> None:
    sent = []

    async def receive():
        return {"type": "http.request", "body": b'{"query":"{ echo }"}'}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": "/graphql",
        "query_string": query_string,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await site.application(scope, receive, send)
    assert sent[0]["status"] < 500
