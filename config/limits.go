package config

import "net/netip"

// Limits hold strangers off.
type Limits struct {
	Exempt        []netip.Prefix `toml:"exempt" default:"127.0.0.0/8 ::1/128" doc:"Clients without delays, bans and rates. Never grants relaying."`
	Sessions      int            `toml:"sessions" default:"20000" min:"10" max:"1000000" doc:"Most sessions at a time on one listener; more are told to come again later."`
	SessionsPerIP int            `toml:"sessions_per_ip" default:"100" min:"1" max:"1000000" doc:"Most sessions at a time from one address, exempt ones apart."`

	ConnectionRate       int `toml:"connection_rate" default:"300" min:"0" max:"1000000" doc:"Most connections a minute to service mx from one network, an IPv4 address or IPv6 /64; more are told to come again later. 0: any number. Clients of relay.networks have none of these rates."`
	MessageRate          int `toml:"message_rate" default:"6000" min:"0" max:"10000000" doc:"Most messages an hour from one network; more are put off. 0: any number."`
	RecipientRate        int `toml:"recipient_rate" default:"20000" min:"0" max:"10000000" doc:"Most recipients an hour from one network; more are put off. 0: any number."`
	UnknownRecipientRate int `toml:"unknown_recipient_rate" default:"100" min:"0" max:"10000000" doc:"Most recipients an hour from one network that do not exist. After that all its recipients are put off, so that it cannot find out who is here. 0: any number."`
	WiderRate            int `toml:"wider_rate" default:"10" min:"0" max:"1000" doc:"How many times as much a whole IPv4 /24 or IPv6 /48 may do. 0: any number."`

	GreetDelay   Duration `toml:"greet_delay" default:"0s" min:"0s" max:"30s" doc:"How long a client of service mx whose network is unknown waits between two lines of the greeting, to see whether it listens: 2s find most programs that do not. Who waited is greeted at once for a week. 0s: nobody waits."`
	EarlyTalkers string   `toml:"early_talkers" default:"note" oneof:"note refuse" doc:"Clients that speak before they were greeted: note counts it against their mail, refuse sends them away."`
	Tarpit       Duration `toml:"tarpit" default:"1s" min:"0s" max:"1m" doc:"By how much each reply to a bad command or a refused address is put off, after tarpit_after of them in a session. 0s: not at all."`
	TarpitAfter  int      `toml:"tarpit_after" default:"5" min:"0" max:"1000" doc:"How many of them are answered at once."`
}
