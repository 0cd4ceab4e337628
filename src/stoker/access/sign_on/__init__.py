"""Sign-on: callers proved by tokens of an OpenID Connect issuer, or by a listed proxy."""
