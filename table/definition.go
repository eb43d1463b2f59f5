package table

import "time"

// A Definition is a table that "type:name" alone cannot describe: one that asks a server. Zero values
// mean the defaults named here.
type Definition struct {
	Name string // of letters, digits, "-", "_" and "."; it stands after "sql:", "ldap:", "http:"
	Type string // "sql", "ldap" or "http"

	// URL is the server: postgres://user@host/db, mysql://user@host/db (or mariadb:, also with
	// ?socket=/path), ldap://host, ldaps://host, ldapi:///path. For http it is the whole address with
	// placeholders: https://host/users/%s.
	URL string

	// Query is a SELECT, or an LDAP filter. Placeholders are %s (the key), %u (its local-part, or the
	// key where it has no domain), %d (its domain), %% (a percent sign). A key without what a
	// placeholder stands for is not found. In SQL they are bound as parameters, never spliced.
	Query string

	Base      string // LDAP: where the search begins; may hold placeholders
	Scope     string // LDAP: "sub" (the default), "one" or "base"
	Attribute string // LDAP: whose values are the result; several with spaces between

	User     string // LDAP: DN to bind as; HTTP: user of Basic authentication; SQL: instead of that in URL
	Password string // for User; HTTP without User: a Bearer token; SQL: instead of that in URL
	StartTLS bool   // LDAP: encrypt ldap: before anything else
	CA       string // file of certificates in PEM to trust instead of the system's; LDAP and HTTP

	TTL         time.Duration // for which a value is remembered; 0: DefaultTTL; negative: not at all
	NegativeTTL time.Duration // for which "not found" is; 0: DefaultNegativeTTL; negative: not at all
	StaleTTL    time.Duration // for which, after TTL, a value still serves while the server fails; 0: not at all
	CacheBytes  int64         // most memory for what is remembered; 0: DefaultCacheBytes
	Timeout     time.Duration // patience for one lookup, waiting for its turn included; 0: DefaultTimeout
	Parallel    int           // most queries at a time; 0: DefaultParallel
}

// The defaults of a [Definition].
const (
	DefaultTTL         = time.Minute
	DefaultNegativeTTL = 10 * time.Second
	DefaultCacheBytes  = 8 << 20
	DefaultTimeout     = 5 * time.Second
	DefaultParallel    = 8
)
