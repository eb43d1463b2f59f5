package remote

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"posthaste/mail"

	"github.com/xdg-go/scram"
)

// maxChallenges bounds the steps of one authentication.
const maxChallenges = 8

// A mechanism answers the challenges of one SASL exchange. The first is empty.
type mechanism struct {
	name   string
	next   func(challenge string) (string, error)
	proven func() bool // the host has shown that it knows us too; nil where the mechanism has no such thing
}

// authenticate proves who we are to a smarthost (RFC 4954), by the best mechanism that both know.
// The password itself goes only over TLS or to this machine. Whatever fails is temporary: the
// operator corrects the configuration and no mail is lost.
func (s *session) authenticate(login Login) error {
	m, ok := s.mechanism(login)
	if !ok {
		return &failure{mail.NewStatus(451, "4.7.0", "%s: no way to log in: it offers %q, and a password is not sent without encryption",
			s.address(), strings.Join(s.ext.auth, " "))}
	}
	answer, err := m.next("")
	if err != nil {
		return s.failed("AUTH "+m.name, err)
	}
	line := "AUTH " + m.name
	if answer != "" {
		line += " " + base64.StdEncoding.EncodeToString([]byte(answer))
	}
	for range maxChallenges {
		reply, err := s.command(line, s.timeouts.Command)
		if err != nil {
			return s.failed("reply to AUTH", err)
		}
		if reply.Code != 334 {
			return m.result(s, reply)
		}
		challenge, err := base64.StdEncoding.DecodeString(reply.Text)
		if err == nil {
			answer, err = m.next(string(challenge))
		}
		if err != nil {
			return s.failed("AUTH "+m.name, err)
		}
		line = base64.StdEncoding.EncodeToString([]byte(answer))
	}
	return s.failed("AUTH "+m.name, errors.New("too many challenges"))
}

func (m mechanism) result(s *session, reply *mail.Status) error {
	if reply.OK() && m.proven != nil && !m.proven() {
		return s.failed("AUTH "+m.name, errors.New("the host did not prove that it knows our password"))
	}
	if reply.OK() {
		return nil
	}
	status := mail.NewStatus(451, "4.7.8", "%s does not accept our login: %s", s.address(), reply.Error())
	return &failure{status}
}

// mechanism chooses among those offered.
func (s *session) mechanism(login Login) (mechanism, bool) {
	private := s.conn.TLS() != nil || s.addr.Addr().IsLoopback()
	if slices.Contains(s.ext.auth, "SCRAM-SHA-256") {
		if m, err := scramMechanism(login); err == nil {
			return m, true
		}
	}
	if private && slices.Contains(s.ext.auth, "PLAIN") {
		return mechanism{name: "PLAIN", next: func(string) (string, error) {
			return "\x00" + login.Username + "\x00" + login.Password, nil
		}}, true
	}
	if private && slices.Contains(s.ext.auth, "LOGIN") {
		answers := []string{"", login.Username, login.Password}
		return mechanism{name: "LOGIN", next: func(string) (string, error) {
			if len(answers) == 0 {
				return "", errors.New("a third challenge")
			}
			answer := answers[0]
			answers = answers[1:]
			return answer, nil
		}}, true
	}
	return mechanism{}, false
}

func scramMechanism(login Login) (mechanism, error) {
	client, err := scram.SHA256.NewClient(login.Username, login.Password, "")
	if err != nil {
		return mechanism{}, err
	}
	conversation := client.NewConversation()
	next := func(challenge string) (string, error) {
		if conversation.Done() {
			return "", nil
		}
		return conversation.Step(challenge)
	}
	return mechanism{"SCRAM-SHA-256", next, conversation.Valid}, nil
}
