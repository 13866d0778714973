/** What a thread of piscina runs. */
export default (data) => data
