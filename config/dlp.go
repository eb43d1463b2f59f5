package config

// A DLP is a rule about what must not leave by mail.
type DLP struct {
	Name      string   `toml:"name" required:"true" doc:"Name of the rule, which findings and answers have. Required."`
	Detect    []string `toml:"detect" doc:"What is looked for: card (numbers of payment cards) and iban, both with right check digits. Empty: what the other keys say."`
	Patterns  []string `toml:"patterns" doc:"Regular expressions of RE2 that are looked for, at most 50 of 1000 bytes."`
	Documents []string `toml:"documents" doc:"Names of documents that posthaste dlp fingerprint add registered, or \"*\" for all."`
	Share     int      `toml:"share" default:"30" min:"1" max:"100" doc:"How much of a document must be in a message, in percent."`
	Count     int      `toml:"count" default:"1" min:"1" max:"1000" doc:"How many different numbers and pieces of text break the rule. One document does."`
	Senders   []string `toml:"senders" doc:"Addresses and domains (example.org, .example.org for those below it) of senders that it is for. Empty: all of ours."`
	Outside   bool     `toml:"outside" default:"true" doc:"Only for messages with a recipient who is not ours."`
	Action    string   `toml:"action" default:"block" oneof:"warn hold block" doc:"What is done: warn (it goes out with a field X-Posthaste-DLP, and the trace tells of it), hold (it waits in the queue until an operator releases it), block (it is refused, and the answer says what to remove)."`
	Advice    string   `toml:"advice" doc:"A sentence for who is refused, as whom to ask."`
}

// A Disclaimer is a text that is added to what our users send.
type Disclaimer struct {
	Domain   string `toml:"domain" required:"true" doc:"Domain of the senders. Required."`
	Text     string `toml:"text" doc:"The text, for parts in plain text."`
	TextFile string `toml:"text_file" doc:"File that holds the text, in UTF-8."`
	HTML     string `toml:"html" doc:"The text as HTML, for parts in HTML. Empty: made from text."`
	HTMLFile string `toml:"html_file" doc:"File that holds the HTML, in UTF-8."`
}
