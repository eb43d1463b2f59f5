// Package sasl is the server side of SASL (RFC 4422) for every protocol we serve: PLAIN (RFC 4616),
// LOGIN (draft-murchison-sasl-login), SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677).
//
// A [Server] is one exchange. It takes and gives decoded bytes: base64, line lengths and "*" for
// giving up belong to the protocol around it. Each exchange is short, and each message in it is
// bounded by [MaxMessage].
package sasl

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"posthaste/auth"
)

// MaxMessage bounds a decoded message from the client: room for two names and a password, or for a
// SCRAM message with a large nonce.
const MaxMessage = 4096

// The mechanisms.
const (
	Plain           = "PLAIN"
	Login           = "LOGIN"
	ScramSHA256     = "SCRAM-SHA-256"
	ScramSHA256Plus = "SCRAM-SHA-256-PLUS"
)

var (
	// ErrMechanism means that a mechanism is unknown, or not to be used on this connection.
	ErrMechanism = errors.New("sasl: mechanism is not available")
	// ErrSyntax means that a message of the client is not what its mechanism allows.
	ErrSyntax = errors.New("sasl: malformed message")
	// ErrAuthzid means that a client wants to act as somebody else, which nobody may.
	ErrAuthzid = errors.New("sasl: acting as another user is not possible")
)

// A Backend knows credentials: *auth.Auth.
type Backend interface {
	Password(ctx context.Context, login, password string) (auth.Identity, error)
	SCRAM(ctx context.Context, login string) (auth.ScramCredentials, error)
	Certificate(*tls.ConnectionState) *x509.Certificate
}

// A Server is one exchange with one client.
type Server interface {
	// Next takes the client's message and returns ours. The first call gets the initial response,
	// nil when there is none; an empty one is not nil. Done means that the client has proved who it
	// is; a challenge that comes with it is to be sent as additional data, or, where the protocol
	// has no place for that, as a challenge that the client answers with nothing.
	//
	// Errors are auth.ErrCredentials, ErrSyntax, ErrAuthzid, or else temporary. The exchange is over
	// after any.
	Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error)
	// Identity returns who the client is, once Next said done.
	Identity() auth.Identity
}

// Mechanisms returns the mechanisms to offer on a connection, the one we prefer first. tls is nil
// without TLS; then those that show the password need plaintextOK.
func Mechanisms(tls *tls.ConnectionState, plaintextOK bool) []string {
	var names []string
	if bindable(tls) {
		names = append(names, ScramSHA256Plus)
	}
	names = append(names, ScramSHA256)
	if tls != nil || plaintextOK {
		names = append(names, Plain, Login)
	}
	return names
}

// New begins an exchange. The caller has checked that mechanism, in upper case, is among those it
// offered; ErrMechanism says that it is none of ours.
func New(mechanism string, b Backend, tls *tls.ConnectionState) (Server, error) {
	switch mechanism {
	case Plain:
		return &plain{backend: b}, nil
	case Login:
		return &login{backend: b}, nil
	case ScramSHA256:
		return &scramServer{backend: b, tls: tls}, nil
	case ScramSHA256Plus:
		if tls == nil {
			return nil, fmt.Errorf("%w: %s without TLS", ErrMechanism, mechanism)
		}
		return &scramServer{backend: b, tls: tls, plus: true}, nil
	}
	return nil, fmt.Errorf("%w: %.40q", ErrMechanism, mechanism)
}

// Offered tells whether mechanism, in upper case, is among those of Mechanisms.
func Offered(mechanism string, tls *tls.ConnectionState, plaintextOK bool) bool {
	return slices.Contains(Mechanisms(tls, plaintextOK), mechanism)
}
