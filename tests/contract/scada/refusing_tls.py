"""A TLS server on loopback that wants a client certificate of one CA and says so, by alert, to who has another.

asyncio's own server closes without the alert, which OpenSSL, and with it most devices, sends.
"""

import contextlib
import socket
import ssl
import threading

from resources.transport.trust.certificates import IssuedCertificate


class RefusingTlsServer:
    def __init__(self, pair: IssuedCertificate) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pair.authority)
        self._context.load_cert_chain(pair.certificate, pair.key)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                raw = plain.dup()
                with contextlib.suppress(ssl.SSLError), self._context.wrap_socket(plain, server_side=True):
                    pass
                with raw, contextlib.suppress(OSError):
                    # a socket closed with unread data resets the connection, and the alert would be lost
                    raw.shutdown(socket.SHUT_WR)
                    while raw.recv(4096):
                        pass

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
