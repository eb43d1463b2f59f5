"""Drives the server with imaplib: prints ok when everything was as it should be."""
import imaplib
import sys
import time

host, port, user, password = sys.argv[1:]
m = imaplib.IMAP4(host, int(port))


def check(answer, want="OK"):
    typ, data = answer
    assert typ == want, answer
    return data


check(m.login(user, password))
assert check(m.select("INBOX")) == [b"1"]
data = check(m.fetch("1", "(UID FLAGS BODY.PEEK[] ENVELOPE)"))
assert data[0][1] == b"Subject: one\r\nFrom: Bob <bob@south.test>\r\n\r\nhello\r\n", data
check(m.create("Projects/2024"))
check(m.create("Projects/2024"), "NO")
check(m.subscribe("Projects/2024"))
assert any(b"Projects/2024" in line for line in check(m.lsub()))
assert any(b"Projects/2024" in line for line in check(m.list("Projects", "*")) + check(m.list('""', "*")))
body = b"Subject: appended\r\n\r\n" + b"line\r\n" * 1000
check(m.append("Projects/2024", r"(\Seen)", imaplib.Time2Internaldate(time.time()), body))
assert b"MESSAGES 1" in check(m.status("Projects/2024", "(MESSAGES UIDNEXT UNSEEN)"))[0]
check(m.copy("1", "Projects/2024"))
assert check(m.select("Projects/2024")) == [b"2"]
assert check(m.search(None, "SUBJECT", '"appended"')) == [b"1"]
assert check(m.uid("SEARCH", "CHARSET", "UTF-8", "ALL")) == [b"1 2"]
data = check(m.fetch("1", "(BODY[TEXT])"))
assert data[0][1] == b"line\r\n" * 1000, len(data[0][1])
check(m.store("2", "+FLAGS", r"(\Deleted $Later)"))
assert check(m.expunge()) == [b"2"]
check(m.rename("Projects/2024", "Projects/2025"), "OK")
check(m.close())
check(m.delete("Projects/2025"))
check(m.namespace())
check(m.noop())
assert m.logout()[0] == "BYE"
print("ok")
