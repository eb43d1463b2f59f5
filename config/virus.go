package config

// Clamd says how clamd of ClamAV is asked about messages.
type Clamd struct {
	Address     string   `toml:"address" doc:"Where clamd listens: /run/clamav/clamd.ctl, or host:port. Empty: it is not asked."`
	Action      string   `toml:"action" default:"reject" oneof:"reject quarantine tag" doc:"What becomes of a message with a virus."`
	Unscanned   string   `toml:"unscanned" default:"accept" oneof:"accept tag quarantine reject" doc:"What becomes of a message that is too large for clamd or that it did not look into wholly."`
	OnFailure   string   `toml:"on_failure" default:"accept" oneof:"accept defer" doc:"What becomes of mail while clamd gives no answer. defer: it is put off with 451."`
	Timeout     Duration `toml:"timeout" default:"30s" min:"100ms" max:"5m" doc:"Patience with one message."`
	MaxSize     Size     `toml:"max_size" default:"25MiB" min:"64KiB" max:"2GiB" doc:"Largest message that is sent to clamd. Its own StreamMaxLength should be as much."`
	Connections int      `toml:"connections" default:"10" min:"1" max:"1000" doc:"Most messages at clamd at a time. Its own MaxThreads should be as many."`
}

// ICAP says how a server of ICAP is asked about messages.
type ICAP struct {
	URL         string   `toml:"url" doc:"Service of an ICAP server (RFC 3507), as icap://127.0.0.1:1344/avscan. Empty: none is asked."`
	Method      string   `toml:"method" default:"RESPMOD" oneof:"RESPMOD REQMOD" doc:"How messages are handed over: as content that was fetched, or that is being sent."`
	Action      string   `toml:"action" default:"reject" oneof:"reject quarantine tag" doc:"What becomes of a message in which the server finds a virus, or in whose place it gives something else."`
	Unscanned   string   `toml:"unscanned" default:"accept" oneof:"accept tag quarantine reject" doc:"What becomes of a message larger than max_size."`
	OnFailure   string   `toml:"on_failure" default:"accept" oneof:"accept defer" doc:"What becomes of mail while the server gives no answer. defer: it is put off with 451."`
	Timeout     Duration `toml:"timeout" default:"30s" min:"100ms" max:"5m" doc:"Patience with one message."`
	MaxSize     Size     `toml:"max_size" default:"50MiB" min:"64KiB" max:"2GiB" doc:"Largest message that is sent."`
	Connections int      `toml:"connections" default:"10" min:"1" max:"1000" doc:"Most messages at the server at a time."`
}
