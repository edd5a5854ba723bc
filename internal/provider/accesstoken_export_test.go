package provider

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// ParseObject is parseObject, for tables and fuzzing.
func ParseObject(data []byte) (object, error) { return parseObject(data) }

// TokenizedObject is what parseObject has to agree with: the same rules over
// encoding/json's own tokenizer.
func TokenizedObject(data []byte) (object, error) {
	if !utf8.Valid(data) || !json.Valid(data) || depth(data) > maxDepth {
		return nil, errNoObject
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, _ := dec.Token(); open != json.Delim('{') {
		return nil, errNoObject
	}
	o, folded := make(object), make(map[string]struct{})
	for dec.More() {
		name, _ := dec.Token()
		key, _ := name.(string)
		if _, twice := folded[Fold(key)]; twice {
			return nil, errDuplicate
		}
		folded[Fold(key)] = struct{}{}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errNoObject
		}
		o[key] = value
	}
	return o, nil
}

// Texts returns a member as text reads it, and as encoding/json does.
func Texts(o object, name string) (str, text string, strErr, textErr error) {
	str, strErr = o.text(name)
	if !o.has(name) {
		return str, "", strErr, nil
	}
	var s *string
	if err := json.Unmarshal(o[name], &s); err != nil {
		return str, "", strErr, errType
	}
	return str, *s, strErr, nil
}

// ECDSAASN1 is ecdsaASN1.
func ECDSAASN1(signature []byte) []byte { return ecdsaASN1(signature) }
