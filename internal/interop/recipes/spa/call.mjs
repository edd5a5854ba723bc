// call is fetch for this application. If the person has to sign in, the browser
// goes there, and comes back to the page that is open now.
export async function call(path, options = {}) {
  const response = await fetch(path, options);
  if (response.status === 401) {
    const problem = await response.clone().json().catch(() => ({}));
    const url = String(problem?.sign_in_url);
    if (url.startsWith(location.origin + "/")) location.assign(url); // the API may have written it
  }
  return response;
}
