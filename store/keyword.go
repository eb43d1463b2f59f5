package store

import "iter"

// Bounds of keywords.
const (
	MaxKeywords     = 128 // different keywords in an account, the system flags included
	maxKeywordBytes = 100
	builtinKeywords = 16 // numbers kept for the keywords this package knows by itself
)

// Keywords is an email's set of keywords, system flags such as \Seen included (\Deleted is not one).
type Keywords struct{}

// Seen tells whether \Seen is set.
func (k Keywords) Seen() bool { return false }

// Answered tells whether \Answered is set.
func (k Keywords) Answered() bool { return false }

// Flagged tells whether \Flagged is set.
func (k Keywords) Flagged() bool { return false }

// Draft tells whether \Draft is set.
func (k Keywords) Draft() bool { return false }

// Has tells whether name is set, in any case. View.KeywordIndex and HasIndex are faster for many rows.
func (v *View) Has(k Keywords, name string) bool { return false }

// Names yields the keywords of k in order of their making, in the spelling of the first use.
func (v *View) Names(k Keywords) iter.Seq[string] { return func(func(string) bool) {} }
