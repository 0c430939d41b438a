"""Who is trusted and who has a password, in the tests of registries."""
from harness import *


def htpasswd():
    users = os.path.join(SCRATCH, "users")
    if not os.path.exists(users):
        subprocess.run(["htpasswd", "-Bbc", users, "me", "s3cret"], check=True, capture_output=True)
    return users


def guarded_registry():
    if "guarded" not in shared:
        shared["guarded"] = Registry(htpasswd=htpasswd())
    return shared["guarded"]


def certificates():
    """A private authority and a certificate of its for loopback and registry.example.com: directory with ca.crt,
    and (crt, key)."""
    where = directory("authority")
    if not os.path.exists(os.path.join(where, "ca.crt")):
        def openssl(*words):
            subprocess.run(["openssl", *words], cwd=where, check=True, capture_output=True)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.pem", "-out", "ca.crt", "-days", "2",
                "-subj", "/CN=private authority")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.pem", "-out", "server.csr", "-subj", "/CN=x")
        write(os.path.join(where, "ext"), "subjectAltName=IP:127.0.0.1,IP:::1,DNS:registry.example.com\n")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.pem", "-out", "server.txt", "-days",
                "2", "-extfile", "ext")
    return where, (os.path.join(where, "server.txt"), os.path.join(where, "server.pem"))
