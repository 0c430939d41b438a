"""The way to a registry: proxies, other addresses, client certificates, servers between that pack or are old, how
much is asked for at once, and what is taken back when somebody gives up."""
import base64
import gzip
import random
import signal
import ssl
import threading

from front import Front
from harness import *
from proxy import Proxy, SocksHandler
from trust import *

OUTSIDE = "registry.example.com"  # a name that only the proxies here know


def image():
    """busybox:1 on the shared registry."""
    return busybox().partition("/")[2]


def guarded_image():
    """The same on the guarded one."""
    if "guarded image" not in shared:
        busybox()
        guarded_registry().push_layout(directory("busybox-layout"), "busybox:1", "--dest-creds=me:s3cret")
        shared["guarded image"] = True
    return "busybox:1"


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            e = tarfile.TarInfo(name)
            e.size = len(data)
            tar.addfile(e, io.BytesIO(data))
    return out.getvalue()


def imported(state, name, data):
    """An image of one file, in a name on a registry."""
    path = os.path.join(directory("tars"), "one.tar")
    write(path, tar_of({"big": data}))
    state.ok("import", path, name)


# -- proxies --

def test_a_proxy_leads_to_the_registry_and_learns_no_credentials():
    """RFC 9110 11.7: what is for the proxy is not for the registry (SECURITY R46), and the other way round. Upper and
    lower case, TLS through a tunnel and clear text."""
    where, pair = certificates()
    name = f"{OUTSIDE}/{guarded_image()}"
    basic = "Basic " + base64.b64encode(b"per:pass word").decode()
    with Front(guarded_registry().port, tls=pair) as front, Proxy(front.port, wants=basic) as proxy:
        state = State(https_proxy=f"http://per:pass%20word@{proxy.host}")
        state.ok("pull", "--cert-dir", where, "--creds=me:s3cret", name)
        check_equal({(verb, target) for verb, target, _ in proxy.log}, {("CONNECT", OUTSIDE + ":443")})
        for _, _, headers in proxy.log:
            check("authorization" not in headers, "the proxy is told who we are to the registry")
        for request in front.requests():
            check("proxy-authorization" not in request.headers, "the registry is told who we are to the proxy")
    with Front(registry().port) as front, Proxy(front.port) as proxy:
        state = State(HTTP_PROXY=f"http://{proxy.host}", HTTPS_PROXY=f"http://{proxy.host}")
        state.ok("pull", "--insecure-registry", OUTSIDE, f"{OUTSIDE}/{image()}")
        check_in(("GET", f"http://{OUTSIDE}/v2/busybox/manifests/1"), [(v, t) for v, t, _ in proxy.log])


def test_a_socks_proxy_finds_the_address_itself():
    """curl(1), socks5h: nobody here knows the name."""
    where, pair = certificates()
    with Front(registry().port, tls=pair) as front, Proxy(front.port, SocksHandler) as proxy:
        State(ALL_PROXY=f"socks5h://{proxy.host}").ok("pull", "--cert-dir", where, f"{OUTSIDE}/{image()}")
        check_equal({target for _, target, _ in proxy.log}, {OUTSIDE + ":443"})


def test_a_proxy_that_refuses_is_named_and_not_asked_again():
    name = f"{OUTSIDE}/{image()}"
    with Proxy(1, wants="Basic x") as proxy:
        refused = State(https_proxy=f"http://who:marker@{proxy.host}").fails("pull", name)
        check_in(f"the proxy for '{OUTSIDE}' wants a login\n", refused.err)
        check_in("hint: put it into HTTPS_PROXY", refused.err)
        check("marker" not in refused.err, "the password of the proxy is shown")
        check_equal(len(proxy.log), 1)
    with Proxy(1, status=403) as proxy:
        refused = State(https_proxy=f"http://{proxy.host}").fails("pull", name)
        check_in(f"the proxy for '{OUTSIDE}' refuses the connection with status 403\n", refused.err)
        check_equal(len(proxy.log), 1)
    refused = State(https_proxy="http://127.0.0.1:1").fails("pull", "--retry=0", name)
    check_in(f"cannot connect to the proxy for '{OUTSIDE}': Connection refused\n", refused.err)


def test_what_no_proxy_names_and_this_machine_go_around_the_proxy():
    with Proxy(1, status=403) as proxy:
        state = State(https_proxy=f"http://{proxy.host}", http_proxy=f"http://{proxy.host}",
                      NO_PROXY="10.0.0.0/8,.example.com:443")
        check_in(f"cannot find the address of '{OUTSIDE}'", state.fails("pull", "--retry=0", f"{OUTSIDE}/x").err)
        state.ok("pull", busybox())
        check_equal(proxy.log, [])
        state.fails("pull", "--retry=0", f"{OUTSIDE}:5000/x")
        check_equal(proxy.log[0][1], f"{OUTSIDE}:5000")


# -- addresses and servers --

def test_a_registry_may_have_an_ipv6_address():
    """RFC 3986 3.2.2: in brackets, with and without TLS, pulled and pushed."""
    if not os.path.exists("/proc/net/if_inet6"):
        raise Skip("this host has no IPv6")
    where, pair = certificates()
    for tls in (None, pair):
        with Front(registry().port, tls=tls, address="::1") as front:
            state = State()
            state.ok("pull", "--cert-dir", where, f"{front.host}/{image()}")
            state.ok("tag", f"{front.host}/{image()}", f"{front.host}/six:1")
            state.ok("push", "--cert-dir", where, f"{front.host}/six:1")
            check_in(f"{front.host}/six:1", state.ok("ls").out)
    check_in('"Digest"', subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{registry().host}/six:1"],
                                        check=True, capture_output=True, text=True).stdout)


def test_a_server_that_speaks_http_1_0_is_understood():
    with Front(registry().port) as front:
        front.version = "HTTP/1.0"
        state = State()
        state.ok("pull", f"{front.host}/{image()}")
        state.ok("tag", f"{front.host}/{image()}", f"{front.host}/old:1")
        state.ok("push", f"{front.host}/old:1")


def test_a_manifest_that_is_packed_on_the_way_is_unpacked_and_a_blob_is_not():
    """RFC 9110 12.5.3: we ask for no coding. A document that has one all the same is read; the digest of a blob is that
    of the bytes that came."""
    name = image()

    def packed(handler):
        if handler.command == "GET" and ("/manifests/" in handler.path or front.packs_blobs and "/blobs/" in handler.path):
            connection = http.client.HTTPConnection("127.0.0.1", registry().port)
            connection.request("GET", handler.path, headers={"Accept": handler.headers.get("Accept", "")})
            answer = connection.getresponse()
            handler.reply(200, {"Content-Type": answer.getheader("Content-Type"), "Content-Encoding": "gzip",
                                "Docker-Content-Digest": answer.getheader("Docker-Content-Digest")},
                          gzip.compress(answer.read()))
            return True

    with Front(registry().port, hook=packed) as front:
        front.packs_blobs = False
        State().ok("pull", f"{front.host}/{name}")
        check_equal({r.headers.get("accept-encoding") for r in front.requests()}, {"identity"})
        front.packs_blobs = True
        check_in("bytes where the manifest says", State().fails("pull", f"{front.host}/{name}").err)


def test_a_client_certificate_is_shown_to_its_host():
    """docker's and containers' certs.d(5): x.cert with x.key."""
    where, pair = certificates()
    with Front(registry().port, tls=pair, client_ca=os.path.join(where, "ca.crt")) as front:
        name = f"{front.host}/{image()}"
        State(SSL_CERT_FILE=os.path.join(where, "ca.crt")).fails("pull", "--retry=0", name)
        state = State()
        here = os.path.join(state.home, ".config/containers/certs.d", front.host)
        for source, target in ((os.path.join(where, "ca.crt"), "ca.crt"), (pair[0], "me.cert"), (pair[1], "me.key")):
            with open(source) as f:
                write(os.path.join(here, target), f.read())
        state.ok("pull", name)
        os.remove(os.path.join(here, "me.key"))
        check_in("has no key 'me.key' beside it", state.fails("pull", name).err)


def test_a_server_that_wants_a_client_certificate_is_understood():
    """RFC 8446 6.2: the alert comes when the handshake is over for the client."""
    where, pair = certificates()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.load_verify_locations(os.path.join(where, "ca.crt"))
    context.verify_mode = ssl.CERT_REQUIRED

    def serve():
        while True:
            raw = listener.accept()[0]
            kept.append(context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False))
            try:
                kept[-1].do_handshake()
            except (ssl.SSLError, OSError) as e:
                if getattr(e, "reason", None) == "HTTP_REQUEST":
                    kept.pop().close()
                # else it stays open: the alert is on its way

    kept = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = "127.0.0.1:%d" % listener.getsockname()[1]
        threading.Thread(target=serve, daemon=True).start()
        refused = State(SSL_CERT_FILE=os.path.join(where, "ca.crt")).fails("pull", "--retry=0", f"{host}/a")
        check_in(f"'{host}' wants a client certificate\n", refused.err)
        check_in(f"certs.d/{host} as client.cert and client.key", refused.err)


# -- how much at once --

def test_a_host_is_asked_for_four_blobs_at_once_over_connections_that_are_kept():
    """As docker and BuildKit: four bodies and one small request beside them; twice as many layers, and few more
    connections than that."""
    layout = make_layout(directory("many-layout"),
                         [tar_of({f"f{i}": random.Random(i).randbytes(200000)}) for i in range(12)])
    name = registry().push_layout(layout, "many:1").partition("/")[2]
    with Front(registry().port) as front:
        front.delay = 0.05
        state = State()
        state.ok("pull", f"{front.host}/{name}")
        check_equal(front.peak_blobs, 4)
        check(front.peak <= 5, f"{front.peak} requests at once")
        check(front.connections <= 6, f"{front.connections} connections for {len(front.log)} requests")
    with Front(registry().port) as front:
        front.delay = 0.05
        state.ok("tag", f"{registry_name(state)}", f"{front.host}/again:1")
        imported(state, f"{front.host}/other:1", b"x")
        state.ok("push", f"{front.host}/again:1")
        check(2 <= front.peak_blobs <= 4, f"{front.peak_blobs} blobs at once")
        check(front.peak <= 5, f"{front.peak} requests at once")
        check(front.connections <= 6, f"{front.connections} connections for {len(front.log)} requests")


def registry_name(state):
    return next(line.split()[0] for line in state.ok("ls").out.splitlines() if "/many:1" in line)


# -- giving up --

def test_an_interrupted_push_takes_its_uploads_back():
    """distribution-spec, "Cancelling an upload": what was begun does not lie at the registry for a week."""
    def swallow(handler):
        if handler.command in ("PUT", "PATCH") and "/uploads/" in handler.path:
            handler.rfile.read(1 << 20)
            stuck.append(handler.path)
            time.sleep(600)

    stuck = []
    with Front(registry().port, hook=swallow) as front:
        state = State()
        imported(state, f"{front.host}/given-up:1", random.Random(7).randbytes(8 << 20))
        process = state.start("push", "--progress=plain", f"{front.host}/given-up:1")
        wait_until(lambda: stuck or process.poll() is not None, "nothing is sent")
        process.send_signal(signal.SIGINT)
        said = process.communicate()[0].decode()
        check_equal(process.returncode, 130)
        begun = len(front.requests("POST", "/uploads/"))
        check(begun >= 1, said)
        check_equal([r.status for r in front.requests("DELETE", "/uploads/")], [204] * begun)


def test_an_interrupt_ends_the_wait_for_a_credential_helper():
    """SECURITY R48 gives it thirty seconds; who presses ^C has waited long enough."""
    programs = directory("helpers")
    write(os.path.join(programs, "docker-credential-hangs"), f"#!/bin/sh\ntouch {programs}/asked\nsleep 600\n", 0o755)
    state = State(PATH=programs + ":" + os.environ["PATH"])
    write(os.path.join(state.home, ".docker/config.json"), '{"credsStore": "hangs"}', 0o600)
    guarded_image()
    process = state.start("pull", f"{guarded_registry().host}/busybox:1")
    wait_until(lambda: os.path.exists(os.path.join(programs, "asked")) or process.poll() is not None, "nobody is asked")
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    said = process.communicate()[0].decode()
    check_equal((process.returncode, "continuing without" in said), (130, False))
    check(time.monotonic() - start < 20, "it was waited for")
    check_equal(processes_with("docker-credential-hangs"), [])


main(globals())
