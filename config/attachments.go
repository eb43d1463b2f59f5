package config

// Attachments says what becomes of mail by what is attached to it.
type Attachments struct {
	Enabled    bool     `toml:"enabled" default:"true" doc:"Look at attachments: types, names, macros, archives. Findings have weights; the classes below may have an action as well."`
	Executable string   `toml:"executable" default:"reject" oneof:"score tag junk quarantine reject" doc:"Programs, installers, shortcuts and images of disks, also within archives. score: only the weights count."`
	Script     string   `toml:"script" default:"reject" oneof:"score tag junk quarantine reject" doc:"Files that a double click runs, as .js, .vbs, .bat or .hta."`
	Disguise   string   `toml:"disguise" default:"quarantine" oneof:"score tag junk quarantine reject" doc:"Names that hide what a file is: invoice.pdf.exe, characters that turn the direction, programs named as documents."`
	Listed     string   `toml:"listed" default:"reject" oneof:"score tag junk quarantine reject" doc:"Files with an extension of deny, or in hashes."`
	Macro      string   `toml:"macro" default:"score" oneof:"score tag junk quarantine reject" doc:"Documents with macros, or that load templates from elsewhere."`
	Encrypted  string   `toml:"encrypted" default:"score" oneof:"score tag junk quarantine reject" doc:"Archives and documents that open only with a password."`
	Active     string   `toml:"active" default:"score" oneof:"score tag junk quarantine reject" doc:"Scripts in PDF, and HTML files that ask for passwords, lead elsewhere or build other files."`
	Bomb       string   `toml:"bomb" default:"quarantine" oneof:"score tag junk quarantine reject" doc:"Archives and messages that are made to burst."`
	Allow      []string `toml:"allow" doc:"Extensions that are never a reason, as \"jar\"."`
	Deny       []string `toml:"deny" doc:"Extensions of class listed, beside the programs and scripts that are built in."`
	Hashes     []string `toml:"hashes" doc:"Tables whose keys are SHA-256 sums of files of class listed, in lower-case hexadecimal."`
	MaxDepth   int      `toml:"max_depth" default:"6" min:"1" max:"20" doc:"Archives within archives that are looked into."`
	MaxBytes   Size     `toml:"max_bytes" default:"64MiB" min:"1MiB" max:"1GiB" doc:"Most bytes that are unpacked of one message."`
	MaxFiles   int      `toml:"max_files" default:"2000" min:"10" max:"100000" doc:"Most files in archives of one message whose content is looked at."`
	MaxTime    Duration `toml:"max_time" default:"2s" min:"100ms" max:"1m" doc:"Most time spent on archives of one message."`
}
