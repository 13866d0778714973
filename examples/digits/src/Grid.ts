/** What is searched: every combination of these parameters, 46 fits. */
type Params = { readonly [name: string]: string | number }

export interface Candidate {
  readonly id: number
  readonly model: string
  readonly params: Params
}

type Axes = { readonly [name: string]: ReadonlyArray<string | number> }

const product = (axes: Axes): ReadonlyArray<Params> =>
  Object.entries(axes).reduce<ReadonlyArray<Params>>(
    (points, [name, values]) => points.flatMap((point) => values.map((value) => ({ ...point, [name]: value }))),
    [{}]
  )

const models: { readonly [model: string]: Axes } = {
  svc: { C: [0.5, 1, 5, 10], gamma: [0.0005, 0.001, 0.002, 0.005] },
  knn: { n_neighbors: [1, 3, 5, 7, 9], weights: ["uniform", "distance"] },
  logistic: { C: [0.01, 0.1, 1, 10] },
  forest: { n_estimators: [50, 100, 150, 200], max_features: ["sqrt", "log2"] },
  extra_trees: { n_estimators: [50, 100, 150, 200], max_features: ["sqrt", "log2"] }
}

export const candidates: ReadonlyArray<Candidate> = Object.entries(models)
  .flatMap(([model, axes]) => product(axes).map((params) => ({ model, params })))
  .map((candidate, id) => ({ id, ...candidate }))

export const describe = ({ model, params }: Candidate): string =>
  `${model}(${Object.entries(params).map(([name, value]) => `${name}=${value}`).join(", ")})`
