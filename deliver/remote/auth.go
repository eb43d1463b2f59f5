package remote

import (
	"crypto/tls"
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
	mechanisms := s.mechanisms(login)
	if len(mechanisms) == 0 {
		return &failure{mail.NewStatus(451, "4.7.0", "%s: no way to log in: it offers %q, and a password is not sent without encryption",
			s.address(), strings.Join(s.ext.auth, " "))}
	}
	var err error
	for _, m := range mechanisms {
		var code int
		code, err = s.run(m)
		// A host may not know our kind of channel binding; that says nothing about the login.
		if err == nil || s.dead || code == wrongPassword || !strings.HasSuffix(m.name, "-PLUS") {
			break
		}
	}
	return err
}

// wrongPassword is the reply code to a login that is not accepted (RFC 4954 section 6).
const wrongPassword = 535

// run does the exchange of one mechanism and returns the code of the last reply.
func (s *session) run(m mechanism) (int, error) {
	answer, err := m.next("")
	if err != nil {
		return 0, s.failed("AUTH "+m.name, err)
	}
	line := "AUTH " + m.name
	if answer != "" {
		line += " " + base64.StdEncoding.EncodeToString([]byte(answer))
	}
	for range maxChallenges {
		reply, err := s.command(line, s.timeouts.Command)
		if err != nil {
			return 0, s.failed("reply to AUTH", err)
		}
		if reply.Code != 334 {
			return reply.Code, m.result(s, reply)
		}
		challenge, err := base64.StdEncoding.DecodeString(reply.Text)
		if err == nil {
			answer, err = m.next(string(challenge))
		}
		if err != nil {
			line = "*" // we give up (RFC 4954 section 4)
			if reply, lost := s.command(line, s.timeouts.Command); lost != nil || reply.OK() {
				return 0, s.failed("AUTH "+m.name, err)
			}
			return 0, &failure{mail.NewStatus(451, "4.7.8", "%s: AUTH %s: %v", s.address(), m.name, err)}
		}
		line = base64.StdEncoding.EncodeToString([]byte(answer))
	}
	return 0, s.failed("AUTH "+m.name, errors.New("too many challenges"))
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

// mechanisms returns those that both know, the best first.
func (s *session) mechanisms(login Login) []mechanism {
	state := s.conn.TLS()
	private := state != nil || s.addr.Addr().IsLoopback() || s.host.Socket != ""
	var all []mechanism
	offered := func(name string) bool { return slices.Contains(s.ext.auth, name) }
	if client, err := scram.SHA256.NewClient(login.Username, login.Password, ""); err == nil {
		if binding, err := channelBinding(state); err == nil && offered("SCRAM-SHA-256-PLUS") {
			all = append(all, scramMechanism("SCRAM-SHA-256-PLUS", client.NewConversationWithChannelBinding(binding)))
		}
		if offered("SCRAM-SHA-256") {
			all = append(all, scramMechanism("SCRAM-SHA-256", client.NewConversation()))
		}
	}
	if private && offered("PLAIN") {
		all = append(all, mechanism{name: "PLAIN", next: func(string) (string, error) {
			return "\x00" + login.Username + "\x00" + login.Password, nil
		}})
	}
	if private && offered("LOGIN") {
		all = append(all, loginMechanism(login))
	}
	return all
}

func loginMechanism(login Login) mechanism {
	answers := []string{"", login.Username, login.Password}
	return mechanism{name: "LOGIN", next: func(string) (string, error) {
		if len(answers) == 0 {
			return "", errors.New("a third challenge")
		}
		answer := answers[0]
		answers = answers[1:]
		return answer, nil
	}}
}

// channelBinding ties a login to this TLS connection: tls-exporter (RFC 9266) where TLS 1.3 makes it safe,
// else tls-server-end-point (RFC 5929).
func channelBinding(state *tls.ConnectionState) (scram.ChannelBinding, error) {
	if state != nil && state.Version >= tls.VersionTLS13 {
		return scram.NewTLSExporterBinding(state)
	}
	return scram.NewTLSServerEndpointBinding(state)
}

func scramMechanism(name string, conversation *scram.ClientConversation) mechanism {
	next := func(challenge string) (string, error) {
		if conversation.Done() {
			return "", nil
		}
		return conversation.Step(challenge)
	}
	return mechanism{name, next, conversation.Valid}
}
