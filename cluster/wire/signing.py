"""Ed25519 signatures, computed by PyNaCl. Keys and signatures are bytes; a secret key is the 32-byte seed."""

SIGNATURE_BYTES, KEY_BYTES = 64, 32


def make_pair() -> tuple[bytes, bytes]:
    """Returns a new random key pair: public key and secret key."""
    from nacl.signing import SigningKey

    key = SigningKey.generate()
    return bytes(key.verify_key), bytes(key)


def public_key(secret: bytes) -> bytes:
    """Returns the public key that belongs to a secret key."""
    from nacl.signing import SigningKey

    return bytes(SigningKey(secret).verify_key)


def sign(secret: bytes, message: bytes) -> bytes:
    """Returns the signature of `message` by the secret key."""
    from nacl.signing import SigningKey

    return SigningKey(secret).sign(message).signature


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Returns whether `signature` is a valid signature of `message`; False also if key or signature are malformed."""
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        VerifyKey(public).verify(message, signature)
    except BadSignatureError:
        return False
    return True
