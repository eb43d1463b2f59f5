package milter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"posthaste/filter"
	"posthaste/mail"
	"posthaste/smtp"
)

// Bounds of what one milter may change in a message.
const (
	maxChanges = 1000     // of fields and recipients, each
	maxBody    = 64 << 20 // bytes of a body in the place of the one that came
	maxReason  = 500      // bytes of the reason of a quarantine
)

// changes gathers what a milter wants changed.
type changes struct {
	binary     bool // line ends of the body are kept as they come
	edits      filter.Edits
	body       bytes.Buffer
	hasBody    bool
	quarantine *string
	ignored    string // arguments that have no place in an envelope
}

// add takes one packet. It returns false for one that is no change.
func (c *changes) add(p packet) (bool, error) {
	var err error
	switch p.code {
	case replyAddHeader:
		err = c.field(filter.AddField, 0, p.data)
	case replyInsertHeader, replyChangeHeader:
		if len(p.data) < 4 {
			return false, fmt.Errorf("%w: a change of the header without place", errProtocol)
		}
		op := filter.InsertField
		if p.code == replyChangeHeader {
			op = filter.ChangeField
		}
		err = c.field(op, int(min(binary.BigEndian.Uint32(p.data), 1<<30)), p.data[4:])
	case replyBody:
		c.hasBody = true
		if c.body.Len()+len(p.data) > maxBody {
			return false, fmt.Errorf("%w: a body of more than %d bytes", errProtocol, maxBody)
		}
		c.body.Write(p.data)
	case replyQuarantine:
		reason := printable(text(p.data))
		reason = strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
		c.quarantine = &reason
	case replyChangeFrom:
		err = c.sender(p.data)
	case replyAddRcpt, replyAddRcptArgs:
		err = c.recipient(&c.edits.Add, p.data)
	case replyDeleteRcpt:
		err = c.recipient(&c.edits.Remove, p.data)
	default:
		return false, nil
	}
	return true, err
}

func (c *changes) field(op filter.FieldOp, at int, data []byte) error {
	name, rest, ok := cut(data)
	if !ok || !isFieldName(name) {
		return fmt.Errorf("%w: %.40q is no name of a header field", errProtocol, name)
	}
	if len(c.edits.Fields) == maxChanges {
		return fmt.Errorf("%w: more than %d changes of the header", errProtocol, maxChanges)
	}
	value := text(rest)
	if op != filter.ChangeField && strings.TrimSpace(value) == "" {
		value = " "
	}
	c.edits.Fields = append(c.edits.Fields, filter.FieldEdit{Op: op, At: at, Name: name, Value: value})
	return nil
}

// isFieldName tells whether name is printable ASCII without colon (RFC 5322 section 3.6.8).
func isFieldName(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7F || name[i] == ':' {
			return false
		}
	}
	return name != ""
}

// path returns the address of a change in angle brackets, which some milters leave out, and takes note of
// arguments behind it.
func (c *changes) path(data []byte) string {
	address, rest, _ := cut(data)
	if arguments := printable(text(rest)); arguments != "" {
		c.ignored = arguments[:min(len(arguments), maxReason)]
	}
	if address = strings.TrimSpace(address); !strings.HasPrefix(address, "<") {
		address = "<" + address + ">"
	}
	return address
}

func (c *changes) sender(data []byte) error {
	from, err := smtp.ParseReversePath(c.path(data))
	if err != nil {
		return fmt.Errorf("%w: the sender it wants: %w", errProtocol, asText(err))
	}
	c.edits.From = &from
	return nil
}

func (c *changes) recipient(list *[]mail.Address, data []byte) error {
	address, err := smtp.ParsePath(c.path(data))
	if err != nil {
		return fmt.Errorf("%w: a recipient it names: %w", errProtocol, asText(err))
	}
	if len(*list) == maxChanges {
		return fmt.Errorf("%w: more than %d changes of recipients", errProtocol, maxChanges)
	}
	*list = append(*list, address)
	return nil
}

// asText keeps the words of an error that is a status, which would else be taken for the milter's answer.
func asText(err error) error { return fmt.Errorf("%s", err.Error()) }

// done returns the edits. Lines of a body that end in LF, as some milters send them, get their CRLF.
func (c *changes) done() filter.Edits {
	if !c.hasBody {
		return c.edits
	}
	body := c.body.Bytes()
	if !c.binary {
		body = bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	}
	if body == nil {
		body = []byte{} // an empty body is a change too
	}
	c.edits.Body = body
	return c.edits
}
