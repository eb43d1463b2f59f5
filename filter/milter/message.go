package milter

import (
	"bytes"
	"context"
	"fmt"

	"posthaste/filter"
	"posthaste/mail"
)

// Message tells of header and body and returns what the milter asks for. Afterwards the next message may
// begin with Mail.
func (s *Session) Message(ctx context.Context, m *filter.Mail) (filter.Result, error) {
	defer s.Reset()
	if s.message != 0 {
		return s.result(answer{code: s.message}, changes{}), nil
	}
	var a answer
	var c changes
	err := s.watch(ctx, func() (err error) {
		if a, err = s.content(m); err != nil || a.code != replyContinue {
			return err
		}
		a, c, err = s.end(m)
		s.inMail = false
		return err
	})
	if err != nil {
		return filter.Result{}, err
	}
	return s.result(a, c), nil
}

// content sends all up to the end of the body, or until the milter has heard enough.
func (s *Session) content(m *filter.Mail) (answer, error) {
	a, err := s.tell(noData, noDataReply, cmdData, nil)
	if err != nil || a.code != replyContinue {
		return a, err
	}
	for _, f := range m.Message.Header.Fields() {
		if len(f.Name()) == 0 {
			continue
		}
		a, err = s.tell(noHeaders, noHeaderReply, cmdHeader, s.field(f.Name(), f.Value()))
		if a.code == replySkip {
			break
		}
		if err != nil || a.code != replyContinue {
			return a, err
		}
	}
	a, err = s.tell(noEOH, noEOHReply, cmdEOH, nil)
	if err != nil || a.code != replyContinue && a.code != replySkip {
		return a, err
	}
	for body := m.Content[len(m.Message.Header.Raw()):]; len(body) > 0; {
		n := min(len(body), maxChunk)
		a, err = s.tell(noBody, noBodyReply, cmdBody, body[:n])
		if a.code == replySkip {
			break
		}
		if err != nil || a.code != replyContinue {
			return a, err
		}
		body = body[n:]
	}
	return answer{code: replyContinue}, nil
}

// field returns the data of a header field. Folded lines end in LF. What is longer than a milter takes
// loses its end: libmilter would end the session over it.
func (s *Session) field(name, value []byte) []byte {
	value = bytes.ReplaceAll(value, []byte("\r\n"), []byte("\n"))
	if s.flags&leadingSpace == 0 && len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	name = name[:min(len(name), maxChunk/2)]
	value = value[:min(len(value), maxChunk-len(name)-2)]
	return cstring(cstring(make([]byte, 0, len(name)+len(value)+2), string(name)), string(value))
}

// end says that the message is there in full, and reads changes up to the final answer.
func (s *Session) end(m *filter.Mail) (answer, changes, error) {
	if m.Envelope.ID != "" { // which is not known yet where the session is told step by step
		s.macros["i"] = string(m.Envelope.ID)
	}
	s.write(cmdMacros, s.macros.data(cmdEOM, s.chosen.of(cmdEOM)))
	s.write(cmdEOM, nil)
	c := changes{binary: m.Envelope.Body == mail.BodyBinary}
	for {
		p, err := s.read()
		if err != nil {
			return answer{}, c, err
		}
		known, err := c.add(p)
		if err != nil {
			return answer{}, c, err
		}
		if known {
			continue
		}
		a, err := parseAnswer(p)
		return a, c, err
	}
}

// result makes of the final answer what the engine says. Changes hold for a message that goes on.
func (s *Session) result(a answer, c changes) filter.Result {
	switch {
	case a.status != nil:
		return s.refusal(a.status)
	case a.code == replyDiscard:
		return filter.Result{Discard: true, Reason: s.client.Name() + " discards the message", Findings: []mail.Finding{
			s.finding("MILTER_DISCARDED", "discard", "A filter has the message taken and delivered to nobody.")}}
	}
	r := filter.Result{Edits: c.done()}
	if c.quarantine != nil {
		r.Action, r.Reason = mail.Quarantine, fmt.Sprintf("%s holds the message: %s", s.client.Name(), *c.quarantine)
		r.Findings = append(r.Findings, s.finding("MILTER_QUARANTINED", *c.quarantine, "A filter wants somebody to look at the message first."))
	}
	if c.ignored != "" {
		r.Findings = append(r.Findings, s.finding("MILTER_ARGUMENTS", c.ignored, "A filter gave ESMTP arguments with an address, which are left out."))
	}
	return r
}
