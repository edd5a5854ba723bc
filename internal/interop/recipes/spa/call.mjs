// call is fetch for this application. If the person has to sign in, the browser
// goes there, and comes back to the page that is open now.
export async function call(path, options = {}) {
  const response = await fetch(path, options);
  if (response.status === 401) {
    const problem = await response.clone().json().catch(() => ({}));
    if (problem.sign_in_url) location.assign(problem.sign_in_url);
  }
  return response;
}
