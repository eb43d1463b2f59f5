package imap

import "time"

// Search is the argument of SEARCH and UID SEARCH.
type Search struct {
	Extended bool // RETURN was given: answer with ESEARCH (RFC 4731)
	Return   SearchReturn
	Charset  string // in upper case; empty when none was given
	Key      SearchKey
}

// SearchReturn are the result options of SEARCH. "RETURN ()" is All.
type SearchReturn struct{ Min, Max, All, Count, Save bool }

// A SearchOp is what a search key asks.
type SearchOp uint8

// The search keys (RFC 9051 section 6.4.4). Keys for a flag are SearchKeyword with its name, those
// for its absence SearchNot of that; NEW, OLD and RECENT follow from \Recent never being set.
const (
	SearchAll     SearchOp = iota
	SearchAnd              // all of Keys
	SearchOr               // one of Keys
	SearchNot              // not Keys[0]
	SearchSeq              // message number in Set
	SearchUID              // UID in Set
	SearchKeyword          // flag or keyword Text
	SearchHeader           // field Field holds Text
	SearchBody             // body holds Text
	SearchText             // header or body holds Text
	SearchBefore           // INTERNALDATE, disregarding time and zone
	SearchOn
	SearchSince
	SearchSentBefore // Date field
	SearchSentOn
	SearchSentSince
	SearchSavedBefore // RFC 8514
	SearchSavedOn
	SearchSavedSince
	SearchLarger // size over Number
	SearchSmaller
	SearchOlder   // INTERNALDATE more than Number seconds ago (RFC 5032)
	SearchYounger // not more than Number seconds ago
	SearchModSeq  // Number or above (RFC 7162)
)

// A SearchKey is one condition, or a tree of them.
type SearchKey struct {
	Op     SearchOp
	Set    Set
	Text   string // in the charset of the command
	Field  string // in upper case
	Date   time.Time
	Number uint64
	Keys   []SearchKey
}

// A searchParser counts what it makes, so that a command cannot ask for more than the bounds.
type searchParser struct {
	*scanner
	keys int
}

func (s *scanner) search() *Search {
	args := &Search{}
	s.space()
	if s.acceptWord("RETURN") {
		args.Extended = true
		s.space()
		s.list(func() { s.searchReturn(&args.Return) })
		if args.Return == (SearchReturn{}) {
			args.Return.All = true
		}
		s.space()
	}
	if s.acceptWord("CHARSET") {
		s.space()
		args.Charset = upper([]byte(s.astring()))
		s.space()
	}
	p := searchParser{scanner: s}
	args.Key = p.conjunction(0)
	return args
}

func (s *scanner) searchReturn(r *SearchReturn) {
	switch s.word() {
	case "MIN":
		r.Min = true
	case "MAX":
		r.Max = true
	case "ALL":
		r.All = true
	case "COUNT":
		r.Count = true
	case "SAVE":
		r.Save = true
	default:
		s.fail("unknown result option")
	}
}

// conjunction parses keys joined by spaces: all must hold.
func (p *searchParser) conjunction(depth int) SearchKey {
	first := p.key(depth)
	if p.peek() != ' ' {
		return first
	}
	and := SearchKey{Op: SearchAnd, Keys: []SearchKey{first}}
	for p.peek() == ' ' && p.pos+1 < len(p.src) {
		p.pos++
		and.Keys = append(and.Keys, p.key(depth))
	}
	return and
}

func (p *searchParser) key(depth int) SearchKey {
	if p.keys++; p.keys > MaxSearchKeys || depth > MaxSearchDepth {
		p.fail("a search has too many keys or is nested too deep")
		return SearchKey{}
	}
	switch c := p.peek(); {
	case c == '(':
		p.pos++
		key := p.conjunction(depth + 1)
		p.expect(')')
		return key
	case c == '*' || c == '$' || c >= '0' && c <= '9':
		return SearchKey{Op: SearchSeq, Set: p.set()}
	}
	return p.named(p.word(), depth)
}

// named parses the key called name.
func (p *searchParser) named(name string, depth int) SearchKey {
	if key, ok := searchFlags[name]; ok {
		return key
	}
	if op, ok := searchDates[name]; ok {
		p.space()
		return SearchKey{Op: op, Date: p.date()}
	}
	switch name {
	case "NOT":
		p.space()
		return not(p.key(depth + 1))
	case "OR":
		p.space()
		first := p.key(depth + 1)
		p.space()
		return SearchKey{Op: SearchOr, Keys: []SearchKey{first, p.key(depth + 1)}}
	case "UID":
		p.space()
		return SearchKey{Op: SearchUID, Set: p.set()}
	case "KEYWORD", "UNKEYWORD":
		p.space()
		key := SearchKey{Op: SearchKeyword, Text: p.flag()}
		if name == "UNKEYWORD" {
			key = not(key)
		}
		return key
	case "LARGER", "SMALLER", "OLDER", "YOUNGER":
		p.space()
		return SearchKey{Op: searchNumbers[name], Number: p.number64()}
	case "MODSEQ":
		return p.modSeq()
	}
	return p.textKey(name)
}

func (p *searchParser) textKey(name string) SearchKey {
	key := SearchKey{Op: SearchHeader, Field: name}
	switch name {
	case "FROM", "TO", "CC", "BCC", "SUBJECT":
	case "BODY":
		key = SearchKey{Op: SearchBody}
	case "TEXT":
		key = SearchKey{Op: SearchText}
	case "HEADER":
		p.space()
		key.Field = upper([]byte(p.astring()))
	default:
		p.fail("unknown search key")
		return SearchKey{}
	}
	p.space()
	key.Text = p.astring()
	return key
}

// modSeq parses MODSEQ [entry-name entry-type-req] mod-sequence-valzer (RFC 7162 section 3.1.5). All
// entries have the modseq of the message, so that which one is asked for does not matter.
func (p *searchParser) modSeq() SearchKey {
	p.space()
	if p.peek() == '"' {
		p.quoted()
		p.space()
		if !p.acceptWord("ALL") && !p.acceptWord("SHARED") && !p.acceptWord("PRIV") {
			p.fail("an entry type is all, shared or priv")
		}
		p.space()
	}
	return SearchKey{Op: SearchModSeq, Number: p.number64()}
}

func not(key SearchKey) SearchKey { return SearchKey{Op: SearchNot, Keys: []SearchKey{key}} }

func keyword(name string) SearchKey { return SearchKey{Op: SearchKeyword, Text: name} }

var searchFlags = map[string]SearchKey{
	"ALL": {Op: SearchAll}, "OLD": {Op: SearchAll},
	"NEW": not(SearchKey{Op: SearchAll}), "RECENT": not(SearchKey{Op: SearchAll}),
	"ANSWERED": keyword(`\Answered`), "UNANSWERED": not(keyword(`\Answered`)),
	"DELETED": keyword(`\Deleted`), "UNDELETED": not(keyword(`\Deleted`)),
	"DRAFT": keyword(`\Draft`), "UNDRAFT": not(keyword(`\Draft`)),
	"FLAGGED": keyword(`\Flagged`), "UNFLAGGED": not(keyword(`\Flagged`)),
	"SEEN": keyword(`\Seen`), "UNSEEN": not(keyword(`\Seen`)),
	"SAVEDATESUPPORTED": {Op: SearchAll},
}

var searchDates = map[string]SearchOp{
	"BEFORE": SearchBefore, "ON": SearchOn, "SINCE": SearchSince,
	"SENTBEFORE": SearchSentBefore, "SENTON": SearchSentOn, "SENTSINCE": SearchSentSince,
	"SAVEDBEFORE": SearchSavedBefore, "SAVEDON": SearchSavedOn, "SAVEDSINCE": SearchSavedSince,
}

var searchNumbers = map[string]SearchOp{
	"LARGER": SearchLarger, "SMALLER": SearchSmaller, "OLDER": SearchOlder, "YOUNGER": SearchYounger,
}
