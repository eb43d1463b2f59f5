// Package table looks keys up in the tables that an administrator keeps: lists in the configuration,
// files in the syntax of Postfix, SQL databases, LDAP directories and HTTP services.
//
// One syntax names a table everywhere, "type:name":
//
//	inline:{ann@example.org=bob@example.org, {abuse@example.org = ann, bob}}
//	file:/etc/posthaste/transport     key and value a line, as postmap(1) reads it
//	cidr:/etc/posthaste/clients       networks, as cidr_table(5)
//	regexp:/etc/posthaste/patterns    patterns, as regexp_table(5), in the syntax of RE2
//	sql:NAME ldap:NAME http:NAME      a [Definition] of the configuration
//
// A [Set] opens them. Keys are folded to lower case, except for regexp, which does that itself. An
// empty value counts as none.
//
// The guarantee that mail depends on: what could not be asked is an error, never "not found". Every
// error is temporary, so that callers answer 4xx. An error names the table and is for the log; nothing
// of it is for strangers.
package table

import "context"

// A Table gives values for keys.
type Table interface {
	// Lookup returns the value of key, which is not empty when found. An error is always temporary.
	Lookup(ctx context.Context, key string) (value string, found bool, err error)
}

// First looks keys up in their order and returns the first value found, and the key that had it.
// Tables whose patterns see whole keys (see [WholeKeys]) are asked for the first key alone.
func First(ctx context.Context, t Table, keys ...string) (value, key string, found bool, err error) {
	if WholeKeys(t) && len(keys) > 1 {
		keys = keys[:1]
	}
	for _, key := range keys {
		value, found, err := t.Lookup(ctx, key)
		if err != nil || found {
			return value, key, found, err
		}
	}
	return "", "", false, nil
}

// WholeKeys tells whether t matches patterns against a whole key, so that looking up parts of it, such
// as the domain of an address, makes no sense. So do cidr and regexp, as in Postfix.
func WholeKeys(t Table) bool {
	w, ok := t.(interface{ wholeKeys() bool })
	return ok && w.wholeKeys()
}
