package sendmail

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"

	"posthaste/drop"
	"posthaste/mail"
	"posthaste/smtp"
)

// Bounds of the dialogue.
const (
	maxCommand = 4 << 10 // bytes of a command line
	maxErrors  = 50      // wrong commands before the end
)

// A dialogue is SMTP on standard input and output (-bs): what programs use that know SMTP and have no
// network. It knows what they need: no extension but 8BITMIME, SIZE, SMTPUTF8 and DSN.
type dialogue struct {
	env    *Env
	opts   *options
	in     *bufio.Reader
	out    *bufio.Writer
	mail   *smtp.Mail // nil before MAIL
	to     []mail.Recipient
	errors int
}

// converse speaks until QUIT or the end of input.
func (e *Env) converse(o *options) error {
	d := &dialogue{env: e, opts: o, in: bufio.NewReaderSize(e.In, maxCommand), out: bufio.NewWriter(e.Out)}
	d.say(220, "", e.Hostname+" ESMTP Posthaste, local submission")
	for {
		if err := d.out.Flush(); err != nil {
			return failure(IOErr, "write the reply: %v", err)
		}
		line, err := d.in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return failure(DataErr, "a command of more than %d bytes", maxCommand)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return failure(IOErr, "read a command: %v", err)
		}
		if last := d.command(bytes.TrimRight(line, "\r\n")); last || d.errors > maxErrors {
			return d.out.Flush()
		}
	}
}

// say writes a reply.
func (d *dialogue) say(code int, enhanced, text string) {
	d.out.Write(smtp.AppendReply(nil, mail.NewStatus(code, enhanced, "%s", text)))
}

// refuse writes err as a reply.
func (d *dialogue) refuse(err error) {
	d.errors++
	var f *drop.FormatError
	status := mail.StatusOf(err)
	if errors.As(err, &f) {
		status = mail.NewStatus(554, "5.6.0", "%s", f.Reason)
	}
	d.out.Write(smtp.AppendReply(nil, status))
}

// command does one command and tells whether it was the last.
func (d *dialogue) command(line []byte) (last bool) {
	c, err := smtp.ParseCommand(line)
	if err != nil {
		d.refuse(err)
		return false
	}
	switch c.Verb {
	case "HELO", "EHLO":
		d.reset()
		d.greet(c.Verb)
	case "MAIL":
		d.setSender(c.Arg)
	case "RCPT":
		d.addRecipient(c.Arg)
	case "DATA":
		return d.data()
	case "RSET":
		d.reset()
		d.say(250, "2.0.0", "OK")
	case "NOOP":
		d.say(250, "2.0.0", "OK")
	case "VRFY":
		d.say(252, "2.0.0", "send some mail, it will be tried")
	case "QUIT":
		d.say(221, "2.0.0", "bye")
		return true
	default:
		d.refuse(mail.NewStatus(502, "5.5.1", "%s is not known here", c.Verb))
	}
	return false
}

func (d *dialogue) greet(verb string) {
	if verb == "HELO" {
		d.say(250, "", d.env.Hostname)
		return
	}
	d.say(250, "", d.env.Hostname+"\nENHANCEDSTATUSCODES\nPIPELINING\n8BITMIME\nSMTPUTF8\nDSN\nSIZE "+strconv.FormatInt(d.env.MaxSize, 10))
}

func (d *dialogue) reset() { d.mail, d.to = nil, nil }

func (d *dialogue) setSender(arg string) {
	if d.mail != nil {
		d.refuse(mail.NewStatus(503, "5.5.1", "one MAIL at a time"))
		return
	}
	m, err := smtp.ParseMail(arg)
	switch {
	case err != nil:
		d.refuse(err)
	case m.Size > d.env.MaxSize:
		d.refuse(mail.NewStatus(552, "5.3.4", "more than the %d bytes allowed", d.env.MaxSize))
	case m.Body == mail.BodyBinary:
		d.refuse(mail.NewStatus(555, "5.5.4", "BINARYMIME is not known here"))
	default:
		d.mail = &m
		d.say(250, "2.1.0", "OK")
	}
}

func (d *dialogue) addRecipient(arg string) {
	switch r, _, err := smtp.ParseRcpt(arg); {
	case d.mail == nil:
		d.refuse(mail.NewStatus(503, "5.5.1", "MAIL comes first"))
	case err != nil:
		d.refuse(err)
	case len(d.to) == drop.MaxRecipients:
		d.refuse(mail.NewStatus(452, "4.5.3", "too many recipients"))
	default:
		d.to = append(d.to, mail.Recipient{Address: r.Address, Notify: r.Notify})
		d.say(250, "2.1.5", "OK")
	}
}

// data takes a message. It tells whether the dialogue cannot go on.
func (d *dialogue) data() (last bool) {
	if len(d.to) == 0 {
		d.refuse(mail.NewStatus(503, "5.5.1", "RCPT comes first"))
		return false
	}
	d.say(354, "", "go ahead, end with a line of a single dot")
	if d.out.Flush() != nil {
		return true
	}
	content, err := d.readDots()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return true // it was not finished: nothing is sent
	}
	if err == nil {
		m := d.mail
		err = d.env.write(drop.Submission{
			From: &m.From, Name: d.opts.name, Recipients: d.to, Body: m.Body, SMTPUTF8: m.SMTPUTF8, Ret: m.Ret, EnvID: m.EnvID,
		}, content, false)
	}
	d.reset()
	if err != nil {
		d.refuse(err)
		return false
	}
	d.say(250, "2.0.0", "it is on disk and will be sent")
	return false
}

// readDots reads content up to the line of a single dot (RFC 5321 section 4.5.2). Too much of it is
// read to its end and refused.
func (d *dialogue) readDots() ([]byte, error) {
	var content []byte
	tooLarge := false
	for start := true; ; {
		piece, err := d.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, io.ErrUnexpectedEOF
		}
		if start && string(bytes.TrimRight(piece, "\r\n")) == "." && err == nil {
			break
		}
		if start && bytes.HasPrefix(piece, []byte(".")) {
			piece = piece[1:]
		}
		start = err == nil
		if tooLarge = tooLarge || int64(len(content)+len(piece)) > d.env.MaxSize; !tooLarge {
			content = append(content, piece...)
		}
	}
	if tooLarge {
		return nil, mail.NewStatus(552, "5.3.4", "more than the %d bytes allowed", d.env.MaxSize)
	}
	return content, nil
}
