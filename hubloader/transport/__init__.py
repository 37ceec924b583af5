"""How bytes come: one request, one streamed answer; credentials, redirects and retries by hand."""
