#!/usr/bin/env python3
"""Records the captures in this folder: failures of coturn's clients, in a network namespace without other traffic.

    sudo unshare --net python3 record.py

It needs coturn (turnserver, turnutils_uclient), tcpdump and iproute2. Addresses are those that are reserved for documentation, the user is
alice, and her password is made up.
"""

import hashlib
import hmac
import os
import secrets
import socket
import struct
import subprocess
import sys
import tempfile
import time

SERVER, CLIENT, PEER = '203.0.113.1', '192.0.2.10', '198.51.100.30'
USER, PASSWORD, REALM = 'alice', 'a-made-up-password', 'example.org'
COOKIE = 0x2112A442
BINDING, ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND = 1, 3, 4, 8, 9
USERNAME, INTEGRITY, ERROR, CHANNEL, LIFETIME, PEER_ADDRESS, REALM_, NONCE, TRANSPORT = 6, 8, 9, 12, 13, 18, 20, 21, 25


def attribute(number, value):
    return struct.pack('!HH', number, len(value)) + value + bytes(-len(value) % 4)


def peer_address(address, port):
    xored = struct.unpack('!I', socket.inet_aton(address))[0] ^ COOKIE
    return attribute(PEER_ADDRESS, struct.pack('!BBHI', 0, 1, port ^ COOKIE >> 16, xored))


def message(method, body, key=None):
    transaction = secrets.token_bytes(12)
    length = len(body) + (24 if key else 0)
    header = struct.pack('!HHI', method, length, COOKIE) + transaction
    signature = attribute(INTEGRITY, hmac.new(key, header + body, hashlib.sha1).digest()) if key else b''
    return header + body + signature


def attributes(answer):
    found, at = {}, 20
    while at < len(answer):
        number, length = struct.unpack_from('!HH', answer, at)
        found.setdefault(number, answer[at + 4:at + 4 + length])
        at += 4 + length + -length % 4
    return found


class Client:
    """A client that does what it is told, and retransmits nothing by itself."""

    def __init__(self, port, server_port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((CLIENT, port))
        self.socket.connect((SERVER, server_port))
        self.socket.settimeout(5)
        self.nonce = None
        self.key = hashlib.md5(f'{USER}:{REALM}:{PASSWORD}'.encode()).digest()

    def ask(self, method, body=b''):
        """The error code of the answer, 0 for success."""
        if self.nonce:
            body += attribute(USERNAME, USER.encode()) + attribute(REALM_, REALM.encode()) + attribute(NONCE, self.nonce)
        self.socket.send(message(method, body, self.key if self.nonce else None))
        found = attributes(self.socket.recv(2000))
        self.nonce = found.get(NONCE, self.nonce)
        error = found.get(ERROR)
        time.sleep(0.01)
        return error[2] * 100 + error[3] if error else 0

    def allocate(self):
        code = self.ask(ALLOCATE, attribute(TRANSPORT, bytes([17, 0, 0, 0])))
        return self.allocate() if code == 401 and self.nonce else code


def run(*command):
    subprocess.run(command, check=True)


class Recording:
    def __init__(self, file, interface, *options):
        self.file, self.written = file, tempfile.mktemp(suffix='.pcap')
        self.tcpdump = subprocess.Popen(
            ['tcpdump', '-q', '-n', '-U', '--immediate-mode', '-Z', 'root', '-i', interface, '-w', self.written, *options, 'udp'],
            stderr=subprocess.PIPE, text=True,
        )
        while 'listening on' not in self.tcpdump.stderr.readline():
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        time.sleep(0.5)
        self.tcpdump.terminate()
        self.tcpdump.wait()
        if self.file.endswith('.pcapng'):
            run('editcap', '-F', 'pcapng', self.written, self.file)
        else:
            os.replace(self.written, self.file)


class Coturn:
    def __init__(self, port, *options):
        self.process = subprocess.Popen(
            ['turnserver', '-n', '--no-tls', '--no-dtls', '--no-cli', '--lt-cred-mech', '--listening-ip', SERVER, '--relay-ip', SERVER,
             '--listening-port', str(port), '--realm', REALM, '--user', f'{USER}:{PASSWORD}', '--log-file', 'stdout', '--pidfile',
             os.path.join(tempfile.mkdtemp(), 'pid'), *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        time.sleep(2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def expect(code, expected):
    assert code == expected, f'{code} instead of {expected}'


def uclient(password):
    """coturn's client with this password; one message each way if it is right."""
    subprocess.run(
        ['turnutils_uclient', '-c', '-n', '1', '-l', '20', '-u', USER, '-w', password, '-L', CLIENT, '-e', PEER, '-r', '41000',
         '-p', '443', SERVER],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30,
    )


def wrong_password():
    """One client with a wrong password, and one with the right one, at another port than 3478; cooked frames."""
    with Coturn(443), Recording('coturn-wrong-password.pcapng', 'any'):
        echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        echo.bind((PEER, 41000))
        echo.settimeout(10)
        uclient('not-her-password')
        child = os.fork()
        if child == 0:
            while True:
                try:
                    data, sender = echo.recvfrom(2000)
                    echo.sendto(data, sender)
                except TimeoutError:
                    os._exit(0)
        uclient(PASSWORD)
        os.kill(child, 9)
        os.wait()


def refusals():
    """437, 403, 400 and 486, each at a client of its own; Ethernet frames."""
    with Coturn(3478, '--user-quota', '3', '--denied-peer-ip', '10.0.0.0-10.255.255.255'), Recording('coturn-refusals.pcap', 'lo'):
        again = Client(50001, 3478)
        expect(again.allocate(), 0)
        expect(again.allocate(), 437)
        forbidden = Client(50002, 3478)
        expect(forbidden.allocate(), 0)
        expect(forbidden.ask(CREATE_PERMISSION, peer_address('10.0.0.9', 53)), 403)
        bound = Client(50003, 3478)
        expect(bound.allocate(), 0)
        for peer, code in ((41000, 0), (41001, 400)):
            number = attribute(CHANNEL, struct.pack('!HH', 0x4001, 0))
            expect(bound.ask(CHANNEL_BIND, number + peer_address(PEER, peer)), code)
        expect(Client(50004, 3478).allocate(), 486)


def no_answer():
    """A client that asks a server which never answers, retransmits, and gives up."""
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind((SERVER, 3478))
    with Recording('no-answer.pcap', 'lo'):
        client = Client(50005, 3478)
        request = message(ALLOCATE, attribute(TRANSPORT, bytes([17, 0, 0, 0])))
        for wait in (0.5, 1, 2, 0):
            client.socket.send(request)
            time.sleep(wait)


def no_server():
    """A client that asks a port where nobody listens: the server's machine answers with ICMP."""
    with Recording('no-server.pcap', 'lo', 'icmp', 'or'):
        client = Client(50006, 3478)
        request = message(BINDING, b'')
        for wait in (0.5, 0):
            try:
                client.socket.send(request)
            except ConnectionRefusedError:
                client.socket.send(request)
            time.sleep(wait)


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    run('ip', 'link', 'set', 'lo', 'up')
    for address in (SERVER, CLIENT, PEER):
        run('ip', 'address', 'add', f'{address}/32', 'dev', 'lo')
    for record in [globals()[name] for name in sys.argv[1:]] or [wrong_password, refusals, no_answer, no_server]:
        record()


if __name__ == '__main__':
    main()
