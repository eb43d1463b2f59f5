package sasl

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/scram"

	"posthaste/auth"
)

// scramServer is RFC 5802 with SHA-256. Beside what package scram checks, it holds the client to its
// mechanism: -PLUS binds to the TLS connection, the plain one does not.
type scramServer struct {
	backend      Backend
	tls          *tls.ConnectionState // nil without TLS
	plus         bool                 // the mechanism is SCRAM-SHA-256-PLUS
	conversation *scram.ServerConversation
	credentials  auth.ScramCredentials
}

func (s *scramServer) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	if response == nil && s.conversation == nil {
		return []byte{}, false, nil // the client speaks first
	}
	if len(response) > MaxMessage || !utf8.Valid(response) || bytes.IndexByte(response, 0) >= 0 {
		return nil, false, fmt.Errorf("%w: SCRAM message", ErrSyntax)
	}
	if s.conversation == nil {
		return s.first(ctx, string(response))
	}
	return s.final(string(response))
}

func (s *scramServer) Identity() auth.Identity { return s.credentials.Identity }

// first answers client-first-message. An error of looking up is kept apart, since the library would
// tell it to the client as one of the exchange.
func (s *scramServer) first(ctx context.Context, message string) ([]byte, bool, error) {
	binding, err := s.binding(message)
	if err != nil {
		return nil, false, err
	}
	var lookupErr error
	server, err := scram.SHA256.NewServer(func(login string) (scram.StoredCredentials, error) {
		s.credentials, lookupErr = s.backend.SCRAM(ctx, login)
		return storedCredentials(s.credentials), lookupErr
	})
	if err != nil {
		return nil, false, err
	}
	s.conversation = server.NewConversationWithChannelBinding(binding)
	challenge, err := s.conversation.Step(message)
	switch {
	case lookupErr != nil:
		return nil, false, lookupErr
	case err != nil:
		return nil, false, fmt.Errorf("%w: SCRAM: %w", ErrSyntax, err)
	}
	if authzid := s.conversation.AuthzID(); authzid != "" && authzid != s.conversation.Username() {
		return nil, false, ErrAuthzid
	}
	return []byte(challenge), false, nil
}

// final answers client-final-message. A proof can only be right for an account that exists; we ask
// all the same.
func (s *scramServer) final(message string) ([]byte, bool, error) {
	verifier, err := s.conversation.Step(message)
	if err != nil || !s.conversation.Valid() || s.credentials.Identity.Account == 0 {
		return nil, false, auth.ErrCredentials
	}
	return []byte(verifier), true, nil
}

func storedCredentials(c auth.ScramCredentials) scram.StoredCredentials {
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(c.Salt), Iters: c.Iterations},
		StoredKey:  c.StoredKey,
		ServerKey:  c.ServerKey,
	}
}

// binding returns what the conversation binds to, chosen by the client in its gs2-cbind-flag (RFC
// 5802 section 6). With the flag "y", the client says that it can bind but was not offered to: on a
// connection where we did offer it, package scram takes that for the downgrade it is.
func (s *scramServer) binding(message string) (scram.ChannelBinding, error) {
	flag, _, _ := strings.Cut(message, ",")
	kind, bound := strings.CutPrefix(flag, "p=")
	if bound != s.plus {
		return scram.ChannelBinding{}, fmt.Errorf("%w: channel binding %q does not fit the mechanism", ErrSyntax, flag)
	}
	if !bound {
		return s.offered(), nil
	}
	switch scram.ChannelBindingType(kind) {
	case scram.ChannelBindingTLSExporter:
		return s.exporter()
	case scram.ChannelBindingTLSServerEndpoint:
		return s.endpoint()
	}
	return scram.ChannelBinding{}, fmt.Errorf("%w: channel binding %.40q is not supported", ErrSyntax, kind)
}

// offered returns a binding when we offered to bind on this connection.
func (s *scramServer) offered() scram.ChannelBinding {
	binding, _ := s.exporter()
	return binding
}

// exporter binds to keys of the connection (RFC 9266).
func (s *scramServer) exporter() (scram.ChannelBinding, error) {
	if !bindable(s.tls) {
		return scram.ChannelBinding{}, fmt.Errorf("%w: channel binding tls-exporter needs TLS 1.3", ErrSyntax)
	}
	return scram.NewTLSExporterBinding(s.tls)
}

// endpoint binds to the certificate we showed (RFC 5929 section 4). The library looks for it where a
// client finds it.
func (s *scramServer) endpoint() (scram.ChannelBinding, error) {
	certificate := s.backend.Certificate(s.tls)
	if certificate == nil {
		return scram.ChannelBinding{}, fmt.Errorf("%w: channel binding tls-server-end-point is not supported", ErrSyntax)
	}
	binding, err := scram.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}})
	if err != nil {
		return binding, fmt.Errorf("%w: %w", ErrMechanism, err)
	}
	return binding, nil
}

// bindable tells whether a connection has the exporter that RFC 9266 binds to: TLS 1.3, or TLS 1.2
// with extended master secret.
func bindable(state *tls.ConnectionState) bool {
	if state == nil || !state.HandshakeComplete {
		return false
	}
	_, err := scram.NewTLSExporterBinding(state)
	return err == nil
}
