"""Signatures by Ed25519: keys and signatures are bytes, a secret key is its seed. The one file that knows PyNaCl."""

SIGNATURE_BYTES, KEY_BYTES = 64, 32


def new_pair() -> tuple[bytes, bytes]:
    """A new public key and its secret one."""
    from nacl.signing import SigningKey

    made = SigningKey.generate()
    return bytes(made.verify_key), bytes(made)


def public_of(secret: bytes) -> bytes:
    """The public key of a secret one."""
    from nacl.signing import SigningKey

    return bytes(SigningKey(secret).verify_key)


def signed(secret: bytes, message: bytes) -> bytes:
    """The signature of a message."""
    from nacl.signing import SigningKey

    return SigningKey(secret).sign(message).signature


def holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature is that of a message by a key; what is no key or no signature does not hold."""
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        VerifyKey(public).verify(message, signature)
    except BadSignatureError:
        return False
    return True
