package store

import "time"

// A SearchKey is one kind of condition on a row: the keys of RFC 9051 section 6.4.4.
type SearchKey uint8

// The search keys, with the fields of Criterion that they read. Text matches as a substring, without
// regard to case, in decoded text. Dates compare days: Time's date in Time's location.
const (
	SearchAll         SearchKey = iota
	SearchAnd                   // Children; none is all
	SearchOr                    // Children; none is nothing
	SearchNot                   // not all of Children
	SearchUIDs                  // UIDs
	SearchKeyword               // Text: an IMAP flag, \Deleted included
	SearchBefore                // Time: INTERNALDATE is earlier than the day
	SearchOn                    // Time
	SearchSince                 // Time: the day or later
	SearchSentBefore            // Time, the Date field without regard to its zone
	SearchSentOn                // Time
	SearchSentSince             // Time
	SearchSavedBefore           // Time, SAVEDATE (RFC 8514)
	SearchSavedOn               // Time
	SearchSavedSince            // Time
	SearchOlder                 // Number: INTERNALDATE is at least that many seconds ago (RFC 5032)
	SearchYounger               // Number: at most that many seconds ago
	SearchLarger                // Number: bytes
	SearchSmaller               // Number: bytes
	SearchModSeq                // Number: MODSEQ at least
	SearchEmail                 // Number: EmailID (RFC 8474)
	SearchThread                // Number: ThreadID
	SearchFrom                  // Text
	SearchTo                    // Text
	SearchCc                    // Text
	SearchBcc                   // Text
	SearchSubject               // Text
	SearchHeader                // Name, Text; an empty Text asks for the field to be there
	SearchBody                  // Text: in text parts
	SearchText                  // Text: in the header or text parts
)

// A Criterion is a condition on rows, a tree.
type Criterion struct {
	Key      SearchKey
	Children []Criterion
	Name     string
	Text     string // UTF-8
	Time     time.Time
	Number   uint64
	UIDs     UIDSet
}

// Bounds of a search.
const (
	maxCriteria     = 1000 // in one tree
	maxSearchLevels = 50
)
