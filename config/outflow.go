package config

// An Outflow limits what an account sends. Limits of 0 are none; clients of limits.exempt have none. Past
// a limit, mail is held in the queue.
type Outflow struct {
	MessagesHour   int      `toml:"messages_hour" default:"300" min:"0" max:"10000000" doc:"Most messages of an account in an hour. Past this and the next limits, mail is held in the queue, and owner and postmaster are told. 0: any number."`
	MessagesDay    int      `toml:"messages_day" default:"1000" min:"0" max:"10000000" doc:"Most messages in a day."`
	RecipientsHour int      `toml:"recipients_hour" default:"500" min:"0" max:"10000000" doc:"Most recipients in an hour."`
	RecipientsDay  int      `toml:"recipients_day" default:"1000" min:"0" max:"10000000" doc:"Most recipients in a day."`
	FirstHour      int      `toml:"first_hour" default:"100" min:"0" max:"10000000" doc:"Most recipients in an hour that the account never wrote to."`
	FirstDay       int      `toml:"first_day" default:"200" min:"0" max:"10000000" doc:"Most recipients in a day that the account never wrote to."`
	Failures       int      `toml:"failures" default:"40" min:"0" max:"100" doc:"Most recipients of a day, in percent, that may fail for good, once there are 20 outcomes. 0: any number."`
	Burst          int      `toml:"burst" default:"10" min:"0" max:"10000" doc:"How many times as many recipients as on an ordinary day, which is learned, an account may write to in a day. 0: any number."`
	BurstFloor     int      `toml:"burst_floor" default:"200" min:"0" max:"10000000" doc:"Recipients in a day that are never too many by burst."`
	Accounts       []string `toml:"accounts" doc:"Tables from the address of an account to limits of its own, as \"recipients_day=5000 first_day=0\"."`
}
