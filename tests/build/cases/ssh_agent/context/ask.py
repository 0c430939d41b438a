import os, socket, struct

def ask(kind):
    agent = socket.socket(socket.AF_UNIX)
    agent.connect(os.environ["SSH_AUTH_SOCK"])
    agent.sendall(struct.pack(">IB", 1, kind))
    size = struct.unpack(">I", agent.recv(4, socket.MSG_WAITALL))[0]
    return agent.recv(size, socket.MSG_WAITALL)

reply = ask(11)
print("keys:", struct.unpack(">I", reply[1:5])[0], reply[-7:].decode())
print("remove all:", ask(19)[0])
