package config

// DMARC tells the owners of domains how their mail fared here, and takes what others tell about ours.
type DMARC struct {
	ReportFrom     string   `toml:"report_from" doc:"Sender of daily aggregate reports to domains that ask for them (RFC 9990), an address of a domain whose mail passes DMARC. Empty: none are sent."`
	Organization   string   `toml:"organization" doc:"Who reports, by name. Empty: the domain of report_from."`
	Contact        string   `toml:"contact" doc:"Address that reports name for questions. Empty: report_from."`
	FailureReports bool     `toml:"failure_reports" default:"false" doc:"Also send reports about single messages that fail to domains that ask for them (RFC 9991): few, and without local-parts, subject, recipients and content. Needs report_from."`
	Receive        []string `toml:"receive" doc:"Addresses of ours whose mail is read as DMARC reports of others about us, aggregate and failure; see posthaste dmarc."`
}

// ARF takes reports of others about single messages of ours.
type ARF struct {
	Receive []string `toml:"receive" doc:"Addresses of ours whose mail is read as feedback reports (RFC 5965), such as abuse@ and those of feedback loops; see posthaste arf."`
}
