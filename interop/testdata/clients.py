# Python's mail clients against a node: python3 clients.py HOST; ports, CA and PASSWORD in the environment.
import imaplib, os, poplib, smtplib, ssl, sys, time
from email.message import EmailMessage
from email import policy, message_from_bytes

host = sys.argv[1]
port = lambda name: int(os.environ[name])
password = os.environ["PASSWORD"]
context = ssl.create_default_context(cafile=os.environ["CA"])
ann, bob = "ann@north.test", "bob@north.test"


def check(ok, what):
    if not ok:
        raise SystemExit(f"clients.py: {what}")


def letter(subject, body="Grüße\n.dot\n"):
    m = EmailMessage(policy=policy.SMTP)
    m["From"], m["To"], m["Subject"] = ann, bob, subject
    m.set_content(body)
    m.add_attachment(bytes(range(256)), maintype="application", subtype="octet-stream", filename="bytes.bin")
    return m


def smtp():
    with smtplib.SMTP(host, port("SUBMISSION")) as s:
        s.starttls(context=context)
        s.login(ann, password)
        check(s.has_extn("8bitmime") and s.has_extn("size"), f"features {s.esmtp_features}")
        check(s.send_message(letter("starttls")) == {}, "somebody was refused")
    with smtplib.SMTP_SSL(host, port("SUBMISSIONS"), context=context) as s:
        try:
            s.login(ann, "wrong")
            check(False, "a wrong password was taken")
        except smtplib.SMTPAuthenticationError as e:
            check(e.smtp_code == 535, e)
        s.login(ann, password)
        refused = s.send_message(letter("implicit"), to_addrs=[bob, "nobody@north.test"])
        check(refused["nobody@north.test"][0] == 550, refused)
        m = EmailMessage(policy=policy.SMTPUTF8)
        m["From"], m["To"], m["Subject"] = ann, bob, "Ä international"
        m.set_content("ä\n")
        s.send_message(m, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    with smtplib.LMTP(host, port("LMTP")) as s:
        s.sendmail("x@client.example", [bob], "Subject: lmtp\r\n\r\nlmtp\r\n")


def wait_for(box, n):
    for _ in range(600):
        if int(box.select("INBOX")[1][0]) == n:
            return
        time.sleep(0.1)
    check(False, f"INBOX does not come to hold {n} messages")


def imap():
    box = imaplib.IMAP4(host, port("IMAP"))
    check("LOGINDISABLED" in box.capabilities, box.capabilities)
    box.starttls(ssl_context=context)
    try:
        box.login(bob, "wrong")
        check(False, "a wrong password was taken")
    except imaplib.IMAP4.error as e:
        check("AUTHENTICATIONFAILED" in str(e), e)
    box.authenticate("PLAIN", lambda _: f"\0{bob}\0{password}".encode())
    wait_for(box, 4)
    typ, found = box.uid("SEARCH", "SUBJECT", "starttls", "UNSEEN")
    uid = found[0]
    check(len(uid.split()) == 1, f"search found {found}")
    typ, data = box.uid("FETCH", uid, "(FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])")
    raw = data[0][1]
    check(f"RFC822.SIZE {len(raw)}".encode() in b"".join(d if isinstance(d, bytes) else d[0] for d in data), data)
    m = message_from_bytes(raw, policy=policy.default)
    check(m.get_body().get_content() == "Grüße\r\n.dot\r\n" or m.get_body().get_content() == "Grüße\n.dot\n", repr(m.get_body().get_content()))
    check(next(m.iter_attachments()).get_content() == bytes(range(256)), "the attachment changed")
    check(m["Message-ID"] and m["Date"], "no Message-ID, no Date")
    typ, data = box.uid("FETCH", uid, "(BODY.PEEK[2.MIME] BODY[1]<0.4>)")
    check(b"bytes.bin" in data[0][1] and len(data[1][1]) == 4, data)
    box.uid("STORE", uid, "+FLAGS.SILENT", r"(\Answered $Work)")
    check(box.create("Archive/2026")[0] == "OK", "CREATE")
    check(box.uid("COPY", uid, "Archive/2026")[0] == "OK", "COPY")
    box.uid("STORE", uid, "+FLAGS", r"(\Deleted)")
    check(box.expunge()[1] == [b"1"], "EXPUNGE")
    stamp = imaplib.Time2Internaldate(1_700_000_000)
    check(box.append("Archive/2026", r"(\Flagged)", stamp, b"Subject: appended\r\n\r\nappended\r\n")[0] == "OK", "APPEND")
    typ, data = box.status("Archive/2026", "(MESSAGES UNSEEN)")
    check(b"MESSAGES 2 UNSEEN 1" in data[0], data)
    check(box.select("Archive/2026", readonly=True)[1] == [b"2"], "SELECT")
    typ, data = box.fetch("2", "(INTERNALDATE)")
    check(imaplib.Internaldate2tuple(data[0]) == time.localtime(1_700_000_000), data)
    check(box.list()[0] == "OK" and box.noop()[0] == "OK" and box.logout()[0] == "BYE", "the end")
    with imaplib.IMAP4_SSL(host, port("IMAPS"), ssl_context=context) as box:
        box.login(bob, password)
        check(box.enable("UTF8=ACCEPT")[0] == "OK" if "UTF8=ACCEPT" in box.capabilities else True, "ENABLE")
        check(box.select("INBOX")[1] == [b"3"], "SELECT")


def pop():
    p = poplib.POP3(host, port("POP3"))
    check("STLS" in p.capa(), p.capa())
    p.stls(context=context)
    p.user(bob)
    p.pass_(password)
    count, size = p.stat()
    check(count == 3 and len(set(p.uidl()[1])) == 3, p.uidl())
    total = 0
    for i in range(1, count + 1):
        lines = p.retr(i)[1]
        total += sum(len(l) + 2 for l in lines)
        if b"Subject: lmtp" not in lines:
            p.dele(i)
    check(total == size, f"STAT says {size}, RETR gave {total}")
    p.rset()
    p.quit()
    p = poplib.POP3_SSL(host, port("POP3S"), context=context)
    p.user(bob)
    p.pass_(password)
    for i in range(1, 4):
        if b"Subject: lmtp" not in p.top(i, 0)[1]:
            p.dele(i)
    p.quit()


smtp()
imap()
pop()
print("done")
