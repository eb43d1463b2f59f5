package config

// Quarantine says how long mail that is kept apart stays, and how its recipients hear of it.
type Quarantine struct {
	Keep     Duration `toml:"keep" default:"30d" min:"1h" max:"365d" doc:"Age at which a message in the quarantine is deleted. Each leaves an event in the trace."`
	PerOwner Size     `toml:"per_owner" default:"256MiB" doc:"Most bytes that are kept for one account; beyond that the oldest are deleted. 0: no limit."`
	Max      Size     `toml:"max" default:"10GiB" doc:"Most bytes that are kept in all; beyond that the oldest are deleted. 0: no limit."`
	Digest   string   `toml:"digest" default:"daily" oneof:"off hourly daily weekly" doc:"How often recipients get a mail that lists what is new in their quarantine: off, hourly, daily, or weekly on Mondays. Who has nothing new gets none."`
	Hour     int      `toml:"digest_hour" default:"7" min:"0" max:"23" doc:"Hour of the day, local time, at which daily and weekly mails are sent."`
	URL      string   `toml:"url" doc:"Where links in these mails lead, without a path: the address of an https listener as users reach it, or of a proxy in front. Empty: https://hostname where there is an https listener, else the mails have no links."`
}
