package remote

import (
	"bytes"
	"io"
	"time"

	"posthaste/mail"
	"posthaste/message"
)

// chunkSize is the content of one BDAT.
const chunkSize = 1 << 20

// A content is the message with what a hop must be able to carry for it.
type content struct {
	bytes         []byte
	eightBit      bool // somewhere
	eightBitField bool // in the header, which only SMTPUTF8 carries (RFC 6532)
	bare          bool // a CR or LF outside a CRLF, or a NUL: only BINARYMIME carries it unchanged

	downgraded []byte // made when a hop first needs it
	problem    error
}

func newContent(b []byte) *content {
	c := &content{bytes: b, eightBit: has8Bit(b), bare: hasBare(b)}
	if c.eightBit {
		header, _, _ := bytes.Cut(b, []byte("\r\n\r\n"))
		c.eightBitField = has8Bit(header)
	}
	return c
}

// A transfer is how content goes to one host.
type transfer struct {
	bytes []byte
	body  mail.BodyType // parameter of MAIL; empty for none
	utf8  bool
	bdat  bool
}

// prepare decides how the message goes over this session. It gives an outcome to the recipients that
// the host cannot serve, and returns the others.
func (j *job) prepare(s *session, todo []int) (transfer, []int, *failure) {
	ext := s.ext
	if j.env.RequireTLS && s.host.Socket == "" && !s.fitForRequireTLS() {
		return transfer{}, nil, &failure{mail.NewStatus(550, "5.7.30", "the sender requires TLS on the whole way, and %s does not provide it", s.peer())}
	}
	if fail := j.tooLate(s, time.Now()); fail != nil {
		return transfer{}, nil, fail
	}
	send := transfer{bdat: ext.chunking}
	send.utf8, todo = j.needUTF8(s, todo)
	if len(todo) == 0 {
		return send, nil, nil
	}
	if err := j.content.encode(&send, j.env.Body == mail.BodyBinary, ext); err != nil {
		j.decide(todo, mail.NewStatus(554, "5.6.3", "%s takes no 8-bit content and this message cannot be converted: %v", s.peer(), err))
		return send, nil, nil
	}
	if ext.maxSize > 0 && int64(len(send.bytes)) > ext.maxSize {
		j.decide(todo, mail.NewStatus(552, "5.3.4", "the message has %d bytes and %s takes at most %d", len(send.bytes), s.peer(), ext.maxSize))
		return send, nil, nil
	}
	return send, todo, nil
}

// tooLate refuses a host that cannot keep to the deadline of a message that is to be returned rather than
// delivered late (RFC 2852 sections 4.1.4 and 4.2).
func (j *job) tooLate(s *session, now time.Time) *failure {
	if j.env.ByMode != mail.ByReturn || s.lmtp {
		return nil
	}
	left := j.env.DeliverBy.Sub(now)
	switch {
	case left < time.Second:
		return &failure{mail.NewStatus(550, "5.4.7", "the deadline that the sender set has passed")}
	case !s.ext.deliverBy:
		return &failure{mail.NewStatus(550, "5.4.7", "the sender set a deadline, and %s does not keep to such", s.peer())}
	case left < s.ext.minBy:
		return &failure{mail.NewStatus(550, "5.4.7", "only %s are left of the sender's deadline, and %s asks for %s", left.Round(time.Second), s.peer(), s.ext.minBy)}
	}
	return nil
}

// needUTF8 tells whether the transaction needs SMTPUTF8. Recipients that need it of a host without
// it get their outcome (RFC 6531 section 3.2); the others are returned.
func (j *job) needUTF8(s *session, todo []int) (bool, []int) {
	all := !j.env.From.ASCII() || j.env.SMTPUTF8 && j.content.eightBitField
	need := all
	var rest []int
	for _, i := range todo {
		ascii := j.rcpts[i].Address.ASCII()
		need = need || !ascii
		if s.ext.utf8 || ascii && !all {
			rest = append(rest, i)
			continue
		}
		j.decide([]int{i}, mail.NewStatus(553, "5.6.7", "an address or the header holds characters beyond ASCII, and %s has no SMTPUTF8 to take them", s.peer()))
	}
	return need && s.ext.utf8, rest
}

// encode chooses the bytes and the BODY parameter for a host.
func (c *content) encode(send *transfer, binary bool, ext extensions) error {
	send.bytes = c.bytes
	switch {
	case c.bare && binary && ext.chunking && ext.binary:
		send.body = mail.BodyBinary
		return nil
	case c.eightBit && ext.eightBit && !(c.bare && binary): // lines are not what binary parts are made of
		send.body = mail.Body8Bit
	case c.eightBit && !send.utf8 || c.bare && binary:
		if c.downgraded == nil && c.problem == nil {
			c.downgraded, c.problem = message.Downgrade8Bit(c.bytes)
		}
		if c.problem != nil {
			return c.problem
		}
		send.bytes = c.downgraded
	}
	if hasBare(send.bytes) {
		send.bytes = canonical(send.bytes)
	}
	return nil
}

func has8Bit(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}

// hasBare tells whether b has a CR or LF that is not part of a CRLF, or a NUL.
func hasBare(b []byte) bool {
	if bytes.IndexByte(b, 0) >= 0 {
		return true
	}
	lines := bytes.Count(b, []byte("\r\n"))
	return bytes.Count(b, []byte("\n")) != lines || bytes.Count(b, []byte("\r")) != lines
}

// canonical turns each bare CR or LF into CRLF, so that no host can see another end of the content
// than we do, and drops NULs, which RFC 5321 section 4.5.2 does not let pass.
func canonical(b []byte) []byte {
	out := make([]byte, 0, len(b)+len(b)/16)
	for i := 0; i < len(b); i++ {
		switch c := b[i]; c {
		case 0:
		case '\r':
			out = append(out, '\r', '\n')
			if i+1 < len(b) && b[i+1] == '\n' {
				i++
			}
		case '\n':
			out = append(out, '\r', '\n')
		default:
			out = append(out, c)
		}
	}
	return out
}

// writeStuffed writes b, whose lines end in CRLF, with a dot before each line that begins with one
// (RFC 5321 section 4.5.2), and ends its last line. The final dot is the caller's.
func writeStuffed(w io.Writer, b []byte) error {
	if len(b) > 0 && b[0] == '.' {
		if _, err := io.WriteString(w, "."); err != nil {
			return err
		}
	}
	rest := b
	for {
		i := bytes.Index(rest, []byte("\n."))
		if i < 0 {
			break
		}
		if _, err := w.Write(rest[:i+2]); err != nil {
			return err
		}
		rest = rest[i+1:] // the dot once more
	}
	if _, err := w.Write(rest); err != nil {
		return err
	}
	if len(b) > 0 && !bytes.HasSuffix(b, []byte("\r\n")) {
		_, err := io.WriteString(w, "\r\n")
		return err
	}
	return nil
}
