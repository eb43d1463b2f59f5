package config

// A Milter is a filter of the milter protocol.
type Milter struct {
	Name       string   `toml:"name" doc:"Name for log and verdicts. Empty: the address."`
	Address    string   `toml:"address" required:"true" doc:"Where it listens, as in Postfix: inet:host:port or unix:/path. Required."`
	Stage      string   `toml:"stage" default:"message" oneof:"message session" doc:"message: it hears of the whole session once the message is there; a recipient that it refuses then gets no copy. session: it is asked at connect, EHLO, MAIL, each RCPT and the end of the message, so that each has its answer; mail of users, of relay.networks and by LMTP it sees whole, as with message."`
	Timeout    Duration `toml:"timeout" default:"30s" min:"100ms" max:"10m" doc:"Patience with it for one message, all in all."`
	OnFailure  string   `toml:"on_failure" default:"accept" oneof:"accept defer" doc:"What becomes of mail when it does not answer: accept goes on without its opinion and says so in the verdict, defer puts the mail off (451), with stage session at MAIL and RCPT."`
	Submission bool     `toml:"submission" default:"false" doc:"Ask it about mail of our own users too."`
}

// An Rspamd is an rspamd to ask.
type Rspamd struct {
	Name       string   `toml:"name" default:"rspamd" doc:"Name for log and verdicts."`
	URL        string   `toml:"url" required:"true" doc:"Address of its normal worker, as http://127.0.0.1:11333. Required."`
	Password   string   `toml:"password_file" doc:"File that holds its password. Empty: none."`
	Settings   string   `toml:"settings" doc:"ID of settings in its configuration to judge by. Empty: those it chooses itself."`
	Mode       string   `toml:"mode" default:"action" oneof:"action score" doc:"action: do at least what it says: reject, greylist, junk for \"add header\", tag for \"rewrite subject\". score: add its points to ours, and let the sum decide."`
	Scale      int      `toml:"scale" default:"100" min:"1" max:"1000" doc:"With mode score: hundredths of a point of ours that each of its points is."`
	Timeout    Duration `toml:"timeout" default:"10s" min:"100ms" max:"10m" doc:"Patience with it for one message."`
	OnFailure  string   `toml:"on_failure" default:"accept" oneof:"accept defer" doc:"What becomes of mail when it does not answer: accept or defer, as with [[milter]]."`
	Submission bool     `toml:"submission" default:"false" doc:"Ask it about mail of our own users too."`
}

// A Spamd is a daemon of SpamAssassin to ask.
type Spamd struct {
	Name       string   `toml:"name" default:"spamd" doc:"Name for log and verdicts."`
	Address    string   `toml:"address" required:"true" doc:"Where it listens: inet:host:port or unix:/path. Required."`
	User       string   `toml:"user" doc:"User whose preferences and Bayes data it takes. Empty: its own."`
	MaxSize    Size     `toml:"max_size" default:"512KiB" min:"1KiB" max:"64MiB" doc:"Largest message that it is given; it is slow with large ones."`
	Mode       string   `toml:"mode" default:"score" oneof:"action score" doc:"action: what it calls spam is junk. score: add its points to ours, and let the sum decide."`
	Scale      int      `toml:"scale" default:"100" min:"1" max:"1000" doc:"With mode score: hundredths of a point of ours that each of its points is."`
	Timeout    Duration `toml:"timeout" default:"30s" min:"100ms" max:"10m" doc:"Patience with it for one message."`
	OnFailure  string   `toml:"on_failure" default:"accept" oneof:"accept defer" doc:"What becomes of mail when it does not answer: accept or defer, as with [[milter]]."`
	Submission bool     `toml:"submission" default:"false" doc:"Ask it about mail of our own users too."`
}

// A Hook is a program of the site's own, asked by HTTP.
type Hook struct {
	Name       string   `toml:"name" doc:"Name for log and verdicts. Empty: the host of url."`
	URL        string   `toml:"url" required:"true" doc:"Address that gets a POST of JSON for each message; docs/hooks.md has the layout. Required."`
	Token      string   `toml:"token_file" doc:"File that holds a token sent as Authorization: Bearer. Empty: none."`
	Secret     string   `toml:"secret_file" doc:"File that holds the key of the HMAC-SHA-256 in X-Posthaste-Signature. Empty: no signature."`
	Content    Size     `toml:"content" default:"0" max:"64MiB" doc:"Size up to which the message itself is sent along. 0: never, only its header."`
	Timeout    Duration `toml:"timeout" default:"5s" min:"100ms" max:"10m" doc:"Patience with it for one message."`
	OnFailure  string   `toml:"on_failure" default:"accept" oneof:"accept defer" doc:"What becomes of mail when it does not answer or answers nonsense: accept or defer, as with [[milter]]."`
	Submission bool     `toml:"submission" default:"false" doc:"Ask it about mail of our own users too."`
}
