package provider

// ReadObject is readObject, for tables and fuzzing.
func ReadObject(data []byte) (object, error) { return readObject(data) }

// ParseObject is parseObject, which ReadObject has to agree with.
func ParseObject(data []byte) (object, error) { return parseObject(data) }

// Texts returns a member as str and as text read it.
func Texts(o object, name string) (str, text string, strErr, textErr error) {
	str, strErr = o.str(name)
	text, textErr = o.text(name)
	return str, text, strErr, textErr
}

// ECDSAASN1 is ecdsaASN1.
func ECDSAASN1(signature []byte) []byte { return ecdsaASN1(signature) }
