"""Ed25519 signatures, by PyNaCl. Keys and signatures are bytes; a secret key is its 32-byte seed."""

SIGNATURE_BYTES, KEY_BYTES = 64, 32


def make_pair() -> tuple[bytes, bytes]:
    """Returns a new public key and its secret key."""
    from nacl.signing import SigningKey

    key = SigningKey.generate()
    return bytes(key.verify_key), bytes(key)


def public_key(secret: bytes) -> bytes:
    """Returns the public key of a secret key."""
    from nacl.signing import SigningKey

    return bytes(SigningKey(secret).verify_key)


def sign(secret: bytes, message: bytes) -> bytes:
    """Returns the signature of a message."""
    from nacl.signing import SigningKey

    return SigningKey(secret).sign(message).signature


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature is that of a message by a key; False for bytes that are not a key or not a signature."""
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        VerifyKey(public).verify(message, signature)
    except BadSignatureError:
        return False
    return True
