package imapd

import (
	"context"
	"strconv"
	"unicode/utf8"

	"posthaste/imap"
	"posthaste/mail"
	"posthaste/message"
	"posthaste/store"
)

// search answers SEARCH and UID SEARCH (RFC 9051 section 6.4.4, RFC 4731, RFC 5182).
func (s *session) search(ctx context.Context, cmd imap.Command) (answer, error) {
	args := cmd.Args.(*imap.Search)
	byUID := cmd.Name == "UID SEARCH"
	// Programs that poll by SEARCH alone must find what came since their last command.
	if err := s.advance(ctx, false, 0); err != nil {
		return answer{}, err
	}
	criterion, err := s.criterion(&args.Key, args.Charset)
	var found []int
	if err == nil {
		found, err = s.account.Search(ctx, s.box.view, criterion)
	}
	if err != nil {
		if args.Return.Save { // RFC 5182 section 2.1
			s.box.saved = imap.Set{}
		}
		return answer{}, err
	}
	if args.Return.Save {
		s.save(found, args.Return)
	}
	line := s.appendFound(nil, cmd.Tag, found, args, byUID)
	s.conn.Write(line)
	return answer{}, nil
}

// appendFound prints the response: SEARCH, or ESEARCH where the client asked for it or enabled
// IMAP4rev2.
func (s *session) appendFound(line []byte, tag string, found []int, args *imap.Search, byUID bool) []byte {
	numbers := s.numbers(found, byUID)
	modSeq := mail.ModSeq(0)
	if usesModSeq(&args.Key) {
		s.useCondstore()
		modSeq = s.highest(found)
	}
	r := args.Return
	switch {
	case !args.Extended && !s.rev2:
		return appendSearch(line, numbers, modSeq)
	case !args.Extended:
		r.All = true
	case r == imap.SearchReturn{Save: true}:
		return line // RFC 5182 section 2.1: nothing but the tagged response
	}
	return appendESearch(line, tag, numbers, r, byUID, modSeq)
}

// appendSearch prints a SEARCH response (RFC 3501 section 7.2.5, RFC 7162 section 3.1.5).
func appendSearch(line []byte, numbers []uint32, modSeq mail.ModSeq) []byte {
	line = append(line, "* SEARCH"...)
	for _, n := range numbers {
		line = strconv.AppendUint(append(line, ' '), uint64(n), 10)
	}
	if modSeq > 0 {
		line = append(line, " ("...)
		line = append(line, "MODSEQ "...)
		line = strconv.AppendUint(line, uint64(modSeq), 10)
		line = append(line, ')')
	}
	return append(line, "\r\n"...)
}

// appendESearch prints an ESEARCH response (RFC 9051 section 7.3.4).
func appendESearch(line []byte, tag string, numbers []uint32, r imap.SearchReturn, byUID bool, modSeq mail.ModSeq) []byte {
	line = append(line, "* ESEARCH (TAG "...)
	line = imap.AppendString(line, tag)
	line = append(line, ')')
	if byUID {
		line = append(line, " UID"...)
	}
	item := func(name string, n uint64) {
		line = append(line, name...)
		line = strconv.AppendUint(line, n, 10)
	}
	if len(numbers) > 0 {
		if r.Min {
			item(" MIN ", uint64(numbers[0]))
		}
		if r.Max {
			item(" MAX ", uint64(numbers[len(numbers)-1]))
		}
		if r.All {
			line = append(line, " ALL "...)
			line = imap.AppendSet(line, setOf(numbers))
		}
	}
	if r.Count {
		item(" COUNT ", uint64(len(numbers)))
	}
	if modSeq > 0 {
		item(" MODSEQ ", uint64(modSeq))
	}
	return append(line, "\r\n"...)
}

func setOf(numbers []uint32) imap.Set {
	var set imap.Set
	for _, n := range numbers {
		set.Add(n)
	}
	return set
}

// numbers returns the message numbers or UIDs of rows.
func (s *session) numbers(rows []int, byUID bool) []uint32 {
	b := s.box
	numbers := make([]uint32, len(rows))
	for k, i := range rows {
		switch {
		case byUID:
			numbers[k] = uint32(b.view.At(i).UID)
		case len(b.ghosts) == 0:
			numbers[k] = uint32(i + 1)
		default:
			numbers[k] = uint32(b.number(i, b.view.At(i).UID))
		}
	}
	return numbers
}

// save keeps the result for "$". With MIN or MAX and nothing else only those are kept (RFC 5182
// section 2.1).
func (s *session) save(found []int, r imap.SearchReturn) {
	if n := len(found); n > 0 && (r.Min || r.Max) && !r.All && !r.Count {
		var ends []int
		if r.Min {
			ends = append(ends, found[0])
		}
		if r.Max && (!r.Min || n > 1) {
			ends = append(ends, found[n-1])
		}
		found = ends
	}
	s.box.saved = setOf(s.numbers(found, true))
}

func (s *session) highest(rows []int) mail.ModSeq {
	var highest mail.ModSeq
	for _, i := range rows {
		highest = max(highest, s.box.view.At(i).ModSeq)
	}
	return highest
}

func usesModSeq(key *imap.SearchKey) bool {
	if key.Op == imap.SearchModSeq {
		return true
	}
	for i := range key.Keys {
		if usesModSeq(&key.Keys[i]) {
			return true
		}
	}
	return false
}

// plainKeys are the keys that the store knows under another name and that need no conversion.
var plainKeys = map[imap.SearchOp]store.SearchKey{
	imap.SearchAll: store.SearchAll, imap.SearchAnd: store.SearchAnd, imap.SearchOr: store.SearchOr, imap.SearchNot: store.SearchNot,
	imap.SearchKeyword: store.SearchKeyword, imap.SearchBody: store.SearchBody, imap.SearchText: store.SearchText,
	imap.SearchBefore: store.SearchBefore, imap.SearchOn: store.SearchOn, imap.SearchSince: store.SearchSince,
	imap.SearchSentBefore: store.SearchSentBefore, imap.SearchSentOn: store.SearchSentOn, imap.SearchSentSince: store.SearchSentSince,
	imap.SearchSavedBefore: store.SearchSavedBefore, imap.SearchSavedOn: store.SearchSavedOn, imap.SearchSavedSince: store.SearchSavedSince,
	imap.SearchLarger: store.SearchLarger, imap.SearchSmaller: store.SearchSmaller, imap.SearchOlder: store.SearchOlder,
	imap.SearchYounger: store.SearchYounger, imap.SearchModSeq: store.SearchModSeq,
}

var headerKeys = map[string]store.SearchKey{
	"FROM": store.SearchFrom, "TO": store.SearchTo, "CC": store.SearchCc, "BCC": store.SearchBcc, "SUBJECT": store.SearchSubject,
}

// criterion turns a search key into a condition of the store: message numbers into UIDs, text into
// UTF-8.
func (s *session) criterion(key *imap.SearchKey, charset string) (store.Criterion, error) {
	c := store.Criterion{Key: plainKeys[key.Op], Time: key.Date, Number: key.Number}
	switch key.Op {
	case imap.SearchSeq, imap.SearchUID:
		rows, _, err := s.box.spans(key.Set, key.Op == imap.SearchUID)
		if err != nil {
			return c, err
		}
		c.Key, c.UIDs = store.SearchUIDs, s.box.uids(rows)
		return c, nil
	case imap.SearchHeader:
		c.Key, c.Name = store.SearchHeader, key.Field
		if known, ok := headerKeys[key.Field]; ok {
			c.Key = known
		}
	}
	var err error
	if c.Text, err = decodeText(key.Text, charset); err != nil {
		return c, err
	}
	for i := range key.Keys {
		child, err := s.criterion(&key.Keys[i], charset)
		if err != nil {
			return c, err
		}
		c.Children = append(c.Children, child)
	}
	return c, nil
}

// decodeText returns text, which is in charset, as UTF-8.
func decodeText(text, charset string) (string, error) {
	switch charset {
	case "", "UTF-8", "US-ASCII":
		if !utf8.ValidString(text) {
			return "", bad("a search text is not valid UTF-8")
		}
		return text, nil
	}
	decoded, err := message.DecodeCharset([]byte(text), charset)
	if err != nil {
		return "", no("BADCHARSET (UTF-8 US-ASCII)", "unknown character set")
	}
	return decoded, nil
}
