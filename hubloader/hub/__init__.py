"""The Hub's protocol, both directions: the client here, and the words the mirror answers with."""
