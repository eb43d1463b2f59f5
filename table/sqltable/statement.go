package sqltable

import (
	"errors"
	"fmt"
	"strings"

	"posthaste/table/query"
)

// A statement is a query in the words of a server, and which part of the key each parameter is.
type statement struct {
	text   string
	params []byte // placeholders, in the order of the parameters
}

// A dialect is how a server writes what differs.
type dialect struct {
	param     func(n int) string          // the n-th parameter, from 1
	join      func(parts []string) string // an expression for texts joined
	quotes    string                      // characters that quote a string
	backslash bool                        // in strings, it takes the meaning off what follows
}

var postgres = dialect{
	param:  func(n int) string { return fmt.Sprintf("$%d", n) },
	join:   func(parts []string) string { return "(" + strings.Join(parts, " || ") + ")" },
	quotes: "'",
}

var mysqlDialect = dialect{
	param:     func(int) string { return "?" },
	join:      func(parts []string) string { return "CONCAT(" + strings.Join(parts, ", ") + ")" },
	quotes:    `'"`,
	backslash: true,
}

// compile turns a template into a statement. A string that holds placeholders, as '%s' or '%u@%d',
// becomes an expression of parameters, so that queries written for Postfix work and yet nothing that
// strangers wrote becomes part of the statement.
func compile(q query.Query, d dialect) (statement, error) {
	c := compiler{dialect: d}
	for _, p := range q {
		if p.Placeholder != 0 {
			c.placeholder(p.Placeholder)
			continue
		}
		for i := range len(p.Text) {
			c.char(p.Text[i])
		}
	}
	switch {
	case c.err != nil:
		return statement{}, c.err
	case c.quote != 0:
		return statement{}, fmt.Errorf("the query has a quote %c that nothing closes", c.quote)
	case len(c.params) == 0:
		return statement{}, errors.New("the query names neither %s nor %u nor %d, so it would give every key the same value")
	}
	return statement{c.out.String(), c.params}, nil
}

type compiler struct {
	dialect
	out    strings.Builder
	params []byte
	err    error

	quote   byte            // of the string that is open, or 0
	escaped bool            // the character before was a backslash that counts
	str     strings.Builder // text of the open string since its last placeholder, without quotes
	parts   []string        // of the open string that came before
}

func (c *compiler) bind(placeholder byte) string {
	c.params = append(c.params, placeholder)
	return c.param(len(c.params))
}

func (c *compiler) placeholder(p byte) {
	switch {
	case c.quote == 0:
		c.out.WriteString(c.bind(p))
	case strings.IndexByte(c.quotes, c.quote) < 0:
		c.err = fmt.Errorf("the query has %%%c in a quoted name: a name cannot depend on the key", p)
	default:
		c.endPiece()
		c.parts = append(c.parts, c.bind(p))
	}
}

func (c *compiler) char(b byte) {
	switch {
	case c.quote == 0 && strings.IndexByte("'\"`", b) >= 0:
		c.quote = b
	case c.quote == 0:
		c.out.WriteByte(b)
	case c.escaped:
		c.escaped = false
		c.str.WriteByte(b)
	case b == '\\' && c.backslash:
		c.escaped = true
		c.str.WriteByte(b)
	case b == c.quote: // a doubled quote ends one string and begins the next, which joins them again
		c.endString()
	default:
		c.str.WriteByte(b)
	}
}

func (c *compiler) endPiece() {
	if c.str.Len() > 0 {
		c.parts = append(c.parts, string(c.quote)+c.str.String()+string(c.quote))
		c.str.Reset()
	}
}

func (c *compiler) endString() {
	q := string(c.quote)
	c.quote = 0
	if len(c.parts) == 0 {
		c.out.WriteString(q + c.str.String() + q)
		c.str.Reset()
		return
	}
	c.quote = q[0]
	c.endPiece()
	c.quote = 0
	if len(c.parts) == 1 {
		c.out.WriteString(c.parts[0])
	} else {
		c.out.WriteString(c.join(c.parts))
	}
	c.parts = nil
}
