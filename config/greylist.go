package config

// A Greylist puts mail of strangers off once. Mail that authenticates, or that its recipient expects,
// never waits.
type Greylist struct {
	Enabled bool     `toml:"enabled" default:"false" doc:"Put mail of strangers off once, when it does not authenticate (RFC 6647)."`
	Wait    Duration `toml:"wait" default:"1m" min:"1s" max:"1h" doc:"After which time who comes again is let through."`
	Retry   Duration `toml:"retry" default:"2d" min:"1h" max:"30d" doc:"Within which time it must come again."`
	Pass    Duration `toml:"pass" default:"36d" min:"1d" max:"365d" doc:"How long a network and a sender's domain are let through after their latest mail."`
	Passes  int      `toml:"passes" default:"5" min:"1" max:"1000" doc:"How many domains of a network, an IPv4 /24 or IPv6 /64, come through until all of its mail is."`
}
