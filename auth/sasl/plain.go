package sasl

import (
	"bytes"
	"context"
	"fmt"
	"unicode/utf8"

	"posthaste/auth"
)

// plain is RFC 4616: one message, authzid NUL authcid NUL passwd.
type plain struct {
	backend  Backend
	identity auth.Identity
}

func (p *plain) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	if response == nil {
		return []byte{}, false, nil
	}
	authzid, authcid, password, err := parsePlain(response)
	if err != nil {
		return nil, false, err
	}
	if authzid != "" && authzid != authcid {
		return nil, false, ErrAuthzid
	}
	p.identity, err = p.backend.Password(ctx, authcid, password)
	return nil, err == nil, err
}

func (p *plain) Identity() auth.Identity { return p.identity }

func parsePlain(message []byte) (authzid, authcid, password string, err error) {
	fields := bytes.Split(message, []byte{0})
	if len(message) > MaxMessage || len(fields) != 3 || !utf8.Valid(message) || len(fields[1]) == 0 || len(fields[2]) == 0 {
		return "", "", "", fmt.Errorf("%w: PLAIN wants authorization identity, login and password", ErrSyntax)
	}
	return string(fields[0]), string(fields[1]), string(fields[2]), nil
}

// login is what many clients speak though no standard has it: we ask for the name, then for the
// password. The challenges are those that all servers send, because some clients compare them.
type login struct {
	backend  Backend
	asked    int // challenges sent
	name     string
	identity auth.Identity
}

func (l *login) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	if response == nil && l.asked == 0 {
		l.asked = 1
		return []byte("Username:"), false, nil
	}
	if len(response) == 0 || len(response) > MaxMessage || !utf8.Valid(response) || bytes.IndexByte(response, 0) >= 0 {
		return nil, false, fmt.Errorf("%w: LOGIN wants a name, then a password", ErrSyntax)
	}
	if l.name == "" {
		l.name, l.asked = string(response), 2
		return []byte("Password:"), false, nil
	}
	var err error
	l.identity, err = l.backend.Password(ctx, l.name, string(response))
	return nil, err == nil, err
}

func (l *login) Identity() auth.Identity { return l.identity }
