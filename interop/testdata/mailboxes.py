"""Prints what Python's mailbox module finds in mbox files and Maildirs, as JSON, an object a line."""
import json
import mailbox
import os
import sys

for path in sys.argv[1:]:
    box = mailbox.Maildir(path, create=False) if os.path.isdir(path) else mailbox.mbox(path, create=False)
    for message in box:
        print(json.dumps({
            "Path": path,
            "Separator": message.get_from() if isinstance(message, mailbox.mboxMessage) else "",
            "Header": {name.title(): str(value) for name, value in message.items()},
            "Body": message.get_payload(decode=True).decode() if not message.is_multipart() else message.as_string(),
        }))
