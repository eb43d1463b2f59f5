"""Checks queries with Debian's python3-spf: a JSON object a line in, its result a line out. Each names the
port of the name server on 127.0.0.1 that it is to ask."""
import json
import sys

import dns.resolver
import spf

for line in sys.stdin:
    q = json.loads(line)
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = q["port"]
    resolver.timeout = 2
    dns.resolver.default_resolver = resolver
    try:
        result, _ = spf.check2(i=q["ip"], s=q["from"], h=q["helo"], receiver="receiver.example", timeout=5)
    except Exception as e:  # a failing peer is told from a verdict
        result = "crash " + repr(e)
    print(json.dumps(result), flush=True)
